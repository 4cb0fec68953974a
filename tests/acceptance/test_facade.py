"""What programs written for Balsam 0.5 do with `balsam.launcher.dag`, each as a process of its own, in a real site."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.runner import CommandLine, Ran, run_installed

_DAG = "from balsam.launcher import dag\nfrom balsam.launcher.dag import BalsamJob\n"


def python(code: str, site: Path | None, cwd: Path | None = None) -> Ran:
    """Run a program that uses the facade."""
    environ = {**os.environ, "BALSAM_DB_PATH": str(site)} if site else dict(os.environ)
    words = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(words, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def printed(code: str, site: Path) -> list[str]:
    """The lines that a program printed, which must succeed."""
    ran = python(_DAG + textwrap.dedent(code), site)
    assert ran.code == 0, ran.err
    return ran.out.splitlines()


def app(balsam: CommandLine, folder: Path, name: str, code: str) -> None:
    """An application whose jobs run `code` with the facade at hand."""
    script = folder / f"{name}.py"
    script.write_text(_DAG + textwrap.dedent(code))
    balsam.ok("app", "--name", name, "--executable", str(script))


def add(balsam: CommandLine, name: str, *args: str) -> None:
    """A job of the application that has its name, in the workflow `w`."""
    balsam.ok("job", "--name", name, "--workflow", "w", "--application", name, *args, "--yes")


def launch(site: Path) -> None:
    """Run the launcher until nothing more can run."""
    ran = run_installed("launcher", "--consume-all", cwd=site)
    assert ran.code == 0, ran.err


def one(balsam: CommandLine, name: str) -> dict[str, Any]:
    """Every field of the one job with that name."""
    (job,) = balsam.jobs("--name", name)
    return job


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


# --- inside a job


def test_a_running_job_saves_data_spawns_children_and_reads_its_parents(balsam: CommandLine, site: Path) -> None:
    app(balsam, site, "child", "print([job.data['objective'] for job in dag.parents], dag.current_job.args)")
    app(
        balsam,
        site,
        "task",
        """
        dag.current_job.data["objective"] = 1.5
        dag.current_job.save()
        child = dag.spawn_child(name="child", application="child", args="--of task")
        dag.add_job(name="beside", workflow=dag.current_job.workflow, application="child")
        print(dag.JOB_ID == dag.current_job.pk, dag.TIMEOUT, dag.ERROR, dag.LAUNCHER_NODES)
        """,
    )
    add(balsam, "task", "--tag", "kind=first", "--node-packing-count", "2")
    launch(site)
    task, child = one(balsam, "task"), one(balsam, "child")
    assert Path(task["working_directory"], "task.out").read_text() == "True False False 1\n"
    assert Path(child["working_directory"], "child.out").read_text() == "[1.5] --of task\n"
    assert [job["state"] for job in balsam.jobs()] == ["JOB_FINISHED"] * 3
    assert (child["tags"], child["parents"]) == ({"kind": "first"}, [task["job_id"]])
    assert "spawned by [task | " in balsam.ok("ls", "--name", "child", "--history").out


def test_a_program_kills_or_deletes_jobs_that_are_running(balsam: CommandLine, site: Path) -> None:
    balsam.ok("app", "--name", "sleeper", "--executable", "sleep 600")
    for name in ("killed", "deleted"):
        balsam.ok("job", "--name", name, "--workflow", "w", "--app", "sleeper", "--node-packing", "2", "--yes")
    command = [str(Path(sys.executable).parent / "balsam"), "launcher", "--consume-all"]
    with subprocess.Popen(command, cwd=site, stderr=subprocess.DEVNULL) as launcher:
        try:
            wait_for(lambda: [job["state"] for job in balsam.jobs()] == ["RUNNING", "RUNNING"])
            pids = [job["pid"] for job in balsam.jobs()]
            lines = printed(
                """
                dag.kill(BalsamJob.objects.get(name="killed"))
                print(BalsamJob.objects.filter(name="deleted").delete()[0], BalsamJob.objects.get().state)
                """,
                site,
            )
            assert lines == ["1 USER_KILLED"]
            wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
            assert launcher.wait(60) == 0
        finally:
            launcher.kill()
    history = balsam.ok("ls", "--name", "killed", "--history").out
    assert "RUNNING]" in history
    assert "USER_KILLED] killed by a program" in history
    assert "RUN_DONE" not in history


# --- without a site


@pytest.mark.parametrize("module", ["balsam.launcher.dag", "balsam.core.models"])
def test_importing_without_a_site_says_how_to_get_one_and_ends_the_program(tmp_path: Path, module: str) -> None:
    ran = python(f"import {module}\nprint('not reached')", None, cwd=tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("balsam: no site in ")
    assert ". balsamactivate PATH" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_an_import_ends_the_program_by_system_exit(tmp_path: Path) -> None:
    code = """
    try:
        from balsam.launcher import dag
    except SystemExit as error:
        print("SystemExit", error.code)
    """
    assert python(code, None, cwd=tmp_path).out == "SystemExit 1\n"


def test_a_program_that_only_builds_documentation_needs_no_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BALSAM_SPHINX_DOC_BUILD_ONLY", "TRUE")
    code = """
    from balsam.core.models import BalsamJob, END_STATES
    from balsam.core.settings import all_settings
    from balsam.launcher import dag
    print(dag.current_job, len(END_STATES), all_settings())
    """
    ran = python(code, None, cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "None 3 {}\n"), ran.err


def test_a_site_is_found_from_the_folder_of_the_program_too(hello: Path) -> None:
    ran = python("from balsam.launcher.dag import BalsamJob\nprint(BalsamJob.objects.count())", None, cwd=hello / "log")
    assert (ran.code, ran.out) == (0, "0\n")


def test_a_database_of_another_schema_ends_the_program_with_the_way_out(hello: Path) -> None:
    (hello / "balsam.db").unlink()
    ran = python("from balsam.launcher.dag import BalsamJob\nBalsamJob.objects.count()", hello)
    assert (ran.code, ran.err.startswith("balsam: the database ")) == (1, True)
    assert "Traceback" not in ran.err
