"""A search as the evaluators of 2019 were written: it runs as a job, adds evaluations, and waits for any of them."""

# mypy: disable-error-code="union-attr,attr-defined"

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from balsam.core.models import ApplicationDefinition as AppDef
from balsam.core.models import BalsamJob
from balsam.launcher import dag
from balsam.launcher.futures import FutureTask
from balsam.launcher.futures import wait as balsam_wait

# isort: split
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction

FAILED = sys.float_info.min
MARK = "objective:"


class Evaluator:
    """Adds one job per point, and reads what each printed."""

    def __init__(self, script: Path) -> None:
        self.app_name = f"{script.stem}.run"
        self.pending: dict[str, Any] = {}
        self.transaction_context = transaction.atomic
        try:
            AppDef.objects.get(name=self.app_name)
        except ObjectDoesNotExist:
            AppDef(name=self.app_name, executable=f"{sys.executable} {script}").save()

    def add(self, points: list[dict[str, Any]]) -> None:
        """Add a batch of evaluations."""
        with self.transaction_context():
            for point in points:
                self.pending[json.dumps(point)] = self._task(point)

    def finished(self, timeout: float) -> list[tuple[dict[str, Any], float]]:
        """Wait until some have ended; each point with what came of it."""
        waited = balsam_wait(self.pending.values(), timeout=timeout, return_when="ANY_COMPLETED", poll_period=0.2)
        ended = {*waited.done, *waited.failed}
        keys = [key for key, future in self.pending.items() if future in ended]
        return [(json.loads(key), self.pending.pop(key).result()) for key in keys]

    def _task(self, point: dict[str, Any]) -> Any:
        task = BalsamJob(
            application=self.app_name,
            args=f"'{json.dumps(point)}'",
            environ_vars="KERAS_BACKEND=tensorflow:KMP_BLOCK_TIME=0",
            num_nodes=1,
            ranks_per_node=1,
            threads_per_rank=1,
            node_packing_count=dag.current_job.node_packing_count,
        )
        task.name = f"task{point['number']}"
        task.workflow = dag.current_job.workflow
        task.save()
        future = FutureTask(task, self._on_done, fail_callback=self._on_fail)
        future.posted = task.args
        return future

    @staticmethod
    def _on_done(job: Any) -> float:
        if "objective" in job.data:
            return float(job.data["objective"])
        printed = job.read_file_in_workdir(f"{job.name}.out")
        return float(printed.split(MARK)[1].split()[0])

    @staticmethod
    def _on_fail(job: Any) -> float:
        assert "FAILED" in job.state_history
        return FAILED


def main() -> None:
    """Evaluate so many points, so many at a time; then kill what still runs, and leave the results in `job.data`."""
    count, at_once = (int(word) for word in sys.argv[1:3] or ("7", "3"))
    evaluator = Evaluator(Path(__file__).with_name("evaluate.py"))
    points = [{"number": number, "x": number / 4} for number in range(count)]
    evaluator.add(points[:at_once])
    waiting = points[at_once:]
    results: dict[str, float] = {}
    while waiting:
        for done, objective in evaluator.finished(timeout=60):
            results[f"task{done['number']}"] = objective
            if waiting:
                evaluator.add([waiting.pop(0)])
    while len(results) < count - 1:
        for done, objective in evaluator.finished(timeout=60):
            results[f"task{done['number']}"] = objective
    for job in BalsamJob.objects.filter(workflow=dag.current_job.workflow, name__startswith="task").exclude(
        state__in=["JOB_FINISHED", "FAILED"]
    ):
        dag.kill(job, recursive=True)
    dag.current_job.data["results"] = results
    dag.current_job.save()


if __name__ == "__main__":
    main()
