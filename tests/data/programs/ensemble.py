"""An ensemble manager: clears the database of its own names, runs tasks by `dag.add_job`, polls and kills them."""

from __future__ import annotations

import datetime
import os
import sys
import time
from typing import Any

import balsam.launcher.dag as dag
from balsam.core import models


class Task:
    """One task of the ensemble, and the job that does it."""

    def __init__(self, name: str, app: str, args: str, workdir: str) -> None:
        self.name, self.state, self.finished, self.success = name, "CREATED", False, False
        self.process = dag.add_job(
            name=name, workflow="libe_workflow", user_workdir=workdir, application=app, args=args, num_nodes=1,
            ranks_per_node=1, mpi_flags=None, node_packing_count=4, stage_out_url=f"local:{workdir}/collected",
            stage_out_files=f"{name}.out",
        )  # fmt: skip

    def poll(self) -> None:
        """Look what has become of it."""
        self.process.refresh_from_db()
        state = self.process.state
        if state in models.END_STATES:
            self.finished, self.success, self.state = True, state == "JOB_FINISHED", state
        elif state in models.ACTIVE_STATES:
            self.state = "RUNNING"
            began = self.process.get_state_times().get("RUNNING")
            assert began is None or isinstance(began, datetime.datetime)
        else:
            assert state in models.PROCESSABLE_STATES or state in models.RUNNABLE_STATES
            self.state = "WAITING"

    def kill(self) -> None:
        """Stop it."""
        dag.kill(self.process)
        self.state, self.finished = "USER_KILLED", True


def clear(names: tuple[str, ...]) -> None:
    """Delete the applications and jobs of an earlier run."""
    for name in names:
        for model in (models.ApplicationDefinition, models.BalsamJob):
            found = model.objects.filter(name__contains=name)
            if found:
                for each in found.iterator():
                    assert name in each.name
                found.delete()


def add_app(name: str, executable: str) -> None:
    """Define an application field by field."""
    app = models.ApplicationDefinition()
    app.name, app.executable, app.description = name, executable, "of the ensemble"
    app.save()


def until(tasks: list[Any], state: str, seconds: float = 60) -> None:
    """Poll until each task is in that state."""
    deadline = time.time() + seconds
    while not all(task.state == state for task in tasks):
        assert time.time() < deadline, [task.state for task in tasks]
        time.sleep(0.2)
        for task in tasks:
            task.poll()


def main() -> None:
    """Run three tasks to their end, and kill one that would run for long."""
    os.makedirs("collected", exist_ok=True)  # noqa: PTH103 as programs of 2019 did
    clear((".simfunc", ".genfunc"))
    add_app("sim.simfunc", f"{sys.executable} -c 'import sys; print(sys.argv[1])'")
    add_app("slow.genfunc", "sleep")
    tasks = [Task(f"sim.simfunc_{number}", "sim.simfunc", str(number), os.getcwd()) for number in range(3)]  # noqa: PTH109
    slow = Task("slow.genfunc_0", "slow.genfunc", "600", os.getcwd())  # noqa: PTH109
    until([slow], "RUNNING")
    until(tasks, "JOB_FINISHED")
    assert [task.process.read_file_in_workdir(f"{task.name}.out") for task in tasks] == ["0\n", "1\n", "2\n"]
    slow.kill()
    print(*sorted(os.listdir("collected")))  # noqa: PTH208


if __name__ == "__main__":
    main()
