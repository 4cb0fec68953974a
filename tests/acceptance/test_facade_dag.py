"""`balsam.launcher.dag` in a driver script: jobs and edges are added, jobs are killed, and wrong calls say why."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from balsam_core.errors import BalsamError, SiteNotFound
from tests.acceptance.facade import Facade
from tests.acceptance.runner import CommandLine
from tests.batching import played_site


def test_a_driver_script_deletes_just_the_jobs_that_it_names(facade: Facade) -> None:
    for name, workflow in [("task1", "TEST"), ("my task", "TEST"), ("TASK3", "TEST"), ("task4", "test"), ("x", "TEST")]:
        facade.add(name, workflow=workflow)
    found = facade.dag.BalsamJob.objects.filter(name__contains="task", workflow="TEST").delete()
    assert found == (2, {"core.BalsamJob": 2})
    assert facade.names(facade.BalsamJob.objects.all()) == ["TASK3", "task4", "x"]


def test_a_job_is_added_with_the_fields_that_were_given(facade: Facade, balsam: CommandLine) -> None:
    facade.dag.add_job("eval 3", "search", "true", "third", "--lr 0.1", ranks_per_node=2, environ_vars="A=1:B=x=y",
                       data={"x": [1]}, mpi_flags=None)  # fmt: skip
    (job,) = balsam.jobs()
    kept = ("name", "workflow", "application", "description", "args", "ranks_per_node", "data", "mpi_flags")
    assert [job[name] for name in kept] == ["eval 3", "search", "true", "third", "--lr 0.1", 2, {"x": [1]}, ""]
    assert job["environ_vars"] == {"A": "1", "B": "x=y"}


def test_add_job_alone_binds_its_ranks_to_cores(facade: Facade) -> None:
    facade.add("a")
    facade.dag.add_job("b", "w", "true")
    assert dict(facade.BalsamJob.objects.values_list("name", "cpu_affinity")) == {"a": "none", "b": "depth"}


def test_the_fields_of_add_job_may_be_given_by_their_place(facade: Facade) -> None:
    given = {
        "name": "a", "workflow": "w", "application": "true", "description": "d", "args": "-x", "mpi_flags": "-f",
        "num_nodes": 2, "ranks_per_node": 3, "cpu_affinity": "depth", "threads_per_rank": 4, "threads_per_core": 1,
        "environ_vars": "A=1", "data": {"x": 1},
    }  # fmt: skip
    facade.dag.add_job(*given.values())
    read = facade.BalsamJob.objects.get()
    assert {name: getattr(read, name) for name in given} == given
    facade.dag.add_job(*given.values(), False)
    assert facade.BalsamJob.objects.count() == 1


def test_a_job_that_is_not_saved_is_in_no_query_until_it_is(facade: Facade) -> None:
    job = facade.dag.add_job(name="later", workflow="w", application="true", save=False)
    assert not facade.BalsamJob.objects.exists()
    job.priority = 7
    job.save()
    assert facade.BalsamJob.objects.get().priority == 7


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda dag: dag.BalsamJob(foo=1), "TypeError", "'foo'"),
        (lambda dag: dag.add_job(name="a", application="tru"), "DoesNotExist", "did you mean 'true'?"),
        (lambda dag: dag.add_job(name="a/b"), "InvalidFieldError", "holds a slash"),
        (lambda dag: dag.add_job(num_nodes=0), "InvalidFieldError", "num_nodes"),
        (lambda dag: dag.spawn_child(name="a"), "RuntimeError", "inside a running job"),
        (lambda dag: dag.add_dependency("parent", "child"), "ValueError", "'parent' is neither a job nor the id"),
        (lambda dag: dag.add_dependency("0" * 32, "1" * 32), "DoesNotExist", "no job has the id"),
        (lambda dag: dag.clone("a"), "TypeError", "clone copies a BalsamJob"),
    ],
)
def test_a_wrong_call_raises_what_balsam_raised_and_says_why(
    facade: Facade, call: Callable[[Any], Any], error: str, words: str
) -> None:
    with pytest.raises((TypeError, RuntimeError, ValueError, BalsamError)) as caught:
        call(facade.dag)
    assert (type(caught.value).__name__, words in str(caught.value)) == (error, True), caught.value


def test_an_edge_is_refused_when_it_exists_or_closes_a_circle(facade: Facade) -> None:
    a, b, c = facade.add(*"abc")
    facade.dag.add_dependency(a, b)
    facade.dag.add_dependency(parent=str(b.pk), child=facade.BalsamJob.objects.filter(name="c"))
    with pytest.raises(RuntimeError, match="already depends on"):
        facade.dag.add_dependency(a, b)
    for parent, child in [(c.pk, a), (a, a)]:
        with pytest.raises(RuntimeError, match="Detected circular dependency"):
            facade.dag.add_dependency(parent, child)
    assert [facade.names(query) for query in (c.get_parents(), a.get_children())] == [["b"], ["b"]]
    assert b.get_parents_by_id() == [str(a.pk)]
    assert not facade.dag.detect_circular(c)


@pytest.mark.parametrize(("recursive", "states"), [(True, ["USER_KILLED"] * 2), (False, ["USER_KILLED", "FAILED"])])
def test_killing_a_job_kills_those_that_wait_for_it_or_fails_them(
    facade: Facade, recursive: bool, states: list[str]
) -> None:
    parent, child = facade.add("parent", "child")
    facade.dag.add_dependency(parent, child)
    facade.dag.kill(parent, recursive=recursive)
    assert parent.state == "USER_KILLED"
    assert list(facade.BalsamJob.objects.values_list("state", flat=True)) == states


def test_killing_what_has_ended_changes_nothing(facade: Facade) -> None:
    (job,) = facade.add("a", state="JOB_FINISHED")
    facade.dag.kill(job)
    assert job.state == "JOB_FINISHED"


def test_sites_are_listed(facade: Facade, balsam: CommandLine, tmp_path: Path) -> None:
    from balsam.django_config.db_index import refresh_db_index

    assert facade.dag.get_active_database() == str(facade.path)
    balsam.ok("init", str(tmp_path / "other"))
    assert facade.dag.get_database_paths() == refresh_db_index() == [str(tmp_path / "other")]


def test_a_site_without_a_server_needs_none_started(facade: Facade, tmp_path: Path) -> None:
    from balsam.scripts import postgres_control

    postgres_control.start_main(str(facade.path))
    with pytest.raises(SiteNotFound, match="nowhere"):
        postgres_control.start_main(str(tmp_path / "nowhere"))


def test_a_batch_job_is_submitted_and_recorded(
    facade: Facade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from django.db.utils import NotSupportedError

    from balsam.service import service
    from balsam_core.errors import JobSpecError

    monkeypatch.setenv("BALSAM_SCHEDULER__NAME", "played")
    registry = played_site(facade.path, facade.store, monkeypatch).registry
    monkeypatch.setattr(service, "registry", lambda: registry)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "playsub").write_text("#!/bin/sh\necho 7\n")
    (tmp_path / "playsub").chmod(0o755)
    facade.add("a", workflow="search")
    launches = facade.models.QueuedLaunch
    launch = launches(project="p", queue="", nodes=1, wall_minutes=5, job_mode="serial", wf_filter="search",
                      prescheduled_only=False)  # fmt: skip
    launch.save()
    assert (launch.pk, launches.objects.count(), "wf_filter='search'" in repr(launch)) == (None, 0, True)
    service.submit_qlaunch(launch, verbose=True)
    assert capsys.readouterr().out == "Submit OK: played job 7, our number 1\n"
    (read,) = launches.objects.filter(wf_filter="search", nodes=1)
    assert read == launch
    assert (read.scheduler_id, read.state, read.wall_minutes, read.job_mode) == ("7", "QUEUED", 5, "serial")
    assert (launch.pk, launch.scheduler_id, launch.prescheduled_only) == (1, "7", False)
    with pytest.raises(NotSupportedError, match="submit one with"):
        launch.delete()
    with pytest.raises(JobSpecError, match="nothing"):
        facade.dag.submit(nodes=1, wall_minutes=5, job_mode="serial", wf_filter="nothing")
    with pytest.raises(TypeError, match="'foo'"):
        launches(foo=1)


def test_workers_and_mpi_commands_come_from_the_sites_plugins(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    from balsam.launcher import allocation, mpi_commands, worker
    from balsam.service.schedulers import JobEnv
    from balsam_core.errors import PluginError

    monkeypatch.setenv("BALSAM_LOCAL__VIRTUAL_NODES", "3")
    monkeypatch.delenv("BALSAM_LAUNCHER_NODES", raising=False)
    for found in (allocation.registry, allocation.allocation):
        found.cache_clear()
    try:
        group = worker.WorkerGroup()
        assert (len(group), JobEnv.num_workers, JobEnv.current_scheduler_id) == (3, 3, None)
        taken = group.request(2)
        assert (len(taken), len(group.idle_workers()), group.request(2)) == (2, 1, [])
        line = group.mpi_cmd(taken, app_cmd="sim --name 'a b'", envs={"A": "1"}, num_ranks=4, ranks_per_node=2,
                             cpu_affinity="none", threads_per_rank=1, threads_per_core=1, mpi_flags="-v")  # fmt: skip
        assert line.startswith("env A=1 ")
        assert "mpiexec -n 4 -ppn 2 " in line
        assert line.endswith(" -v sim --name 'a b'")
        assert taken[0].hostname in line
        nobodys = type("Nobodys", (mpi_commands.MPICommand,), {"name": "nobody"})
        with pytest.raises(PluginError, match="no MPI launcher named 'nobody'"):
            nobodys()
        assert len(worker.WorkerGroup(limit_nodes=1, offset_nodes=1)) == 1
    finally:
        for found in (allocation.registry, allocation.allocation):
            found.cache_clear()


def test_the_tools_of_the_launcher(facade: Facade, tmp_path: Path) -> None:
    from balsam.launcher import util

    (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(30)))
    assert util.get_tail(tmp_path / "log", nlines=2) == "    line 28\n    line 29"
    here = Path.cwd()
    with util.cd(tmp_path):
        assert Path.cwd() == tmp_path
    assert Path.cwd() == here
    timer = util.remaining_time_minutes(0.0005)
    assert 0 < next(timer) <= 0.0005
    delays = util.delay_generator(0.05)
    next(delays)
    assert next(timer, None) is None or next(delays) is None
    assert next(util.remaining_time_minutes()) == float("inf")
    output, seconds = util.time_cmd("echo hello")
    assert output.startswith("hello")
    assert seconds is not None


def test_the_launcher_starts_by_its_old_path(facade: Facade, capsys: pytest.CaptureFixture[str]) -> None:
    from balsam.launcher import launcher

    assert launcher.main(["--consume-all", "--time-limit-minutes", "nonsense"]) == 2
    assert "'nonsense' is not a number" in capsys.readouterr().err


def test_a_program_takes_a_job_through_its_steps_itself(facade: Facade, tmp_path: Path) -> None:
    from balsam.core import transitions
    from balsam.launcher.exceptions import BalsamTransitionError, TransitionNotFoundError

    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    (source / "side.dat").write_text("9\n")
    script = tmp_path / "script.sh"
    script.write_text('#!/bin/sh\necho "$1 $BALSAM_JOB_ID"; exit $2\n')
    script.chmod(0o755)
    facade.dag.add_app("square", "true", preprocess=f"{script} before 0", postprocess=f"{script} after 0")
    (parent,) = facade.add("parent")
    job = facade.dag.add_job(name="a", workflow="w", application="square", stage_in_url=f"local:{source}/*",
                             stage_out_url=f"local:{out}", stage_out_files="*.dat", parents=[parent])  # fmt: skip
    reached = []
    transitions.TRANSITIONS["CREATED"](job)
    reached.append(job.state)
    parent.update_state("JOB_FINISHED")
    Path(parent.working_directory).mkdir(parents=True)
    for state in ("AWAITING_PARENTS", "READY", "STAGED_IN", "RUN_DONE", "POSTPROCESSED"):
        transitions.TRANSITIONS[state](job)
        reached.append(job.state)
        job.save()
        if job.state == "PREPROCESSED":
            job.update_state("RUN_DONE")
    assert reached == ["AWAITING_PARENTS", "READY", "STAGED_IN", "PREPROCESSED", "POSTPROCESSED", "JOB_FINISHED"]
    assert job.read_file_in_workdir("preprocess.log").splitlines() == [
        f"# Balsam Preprocessor: {script} before 0",
        f"before {job.pk}",
    ]
    assert (out / "side.dat").read_text() == "9\n"
    facade.dag.add_app("square", "true", postprocess=f"{script} failing 3")
    for handle in (transitions.postprocess, transitions.handle_timeout, transitions.handle_run_error):
        job.post_error_handler, job.auto_timeout_retry = True, False
        with pytest.raises(BalsamTransitionError):
            handle(job)
    with pytest.raises(TransitionNotFoundError, match="no transition leads out of RUNNING"):
        transitions.TRANSITIONS["RUNNING"]


def test_ids_that_no_job_has_are_told_by_the_class_that_programs_catch(facade: Facade) -> None:
    (job,) = facade.add("a")
    with pytest.raises(facade.BalsamJob.DoesNotExist):
        facade.dag.add_dependency(uuid4(), job)
