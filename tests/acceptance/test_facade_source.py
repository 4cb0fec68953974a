"""`BalsamJob.source`: programs that run jobs themselves share them with launchers and with each other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from balsam_core.state.claims import Limits
from tests.acceptance.facade import Facade
from tests.helpers import claim, make_launcher

pytestmark = pytest.mark.usefixtures("each_database")

# A program that takes jobs, sets them RUNNING, and ends without a word.
_TAKES = """
from balsam.launcher.dag import BalsamJob
taken = BalsamJob.source.acquire(BalsamJob.source.by_states("PREPROCESSED")[:2])
BalsamJob.batch_update_state(taken, "RUNNING")
print(*BalsamJob.objects.filter(pk__in=taken).values_list("lock", flat=True))
"""


def test_who_acquires_jobs_holds_them_and_nobody_else_gets_them(facade: Facade) -> None:
    jobs = facade.add(*"abc", state="PREPROCESSED")
    source = facade.BalsamJob.source
    launcher = make_launcher(facade.store)
    taken = source.acquire([job.pk for job in jobs[:2]])
    assert taken == [job.pk for job in jobs[:2]]
    assert [job.lock for job in facade.BalsamJob.objects.all()] == [source.lock_str, source.lock_str, ""]
    assert source.lock_str == f"{os.uname().nodename}:{os.getpid()}"
    assert [job.name for job in claim(facade.store, launcher, Limits())] == ["c"]
    assert source.acquire([job.pk for job in jobs]) == []
    assert facade.names(facade.BalsamJob.objects.filter(lock=source.lock_str)) == ["a", "b"]
    assert facade.names(source.filter(state="PREPROCESSED")) == ["a", "b"], "the launcher's is not among them"
    source.release(taken[:1])
    assert facade.names(facade.BalsamJob.objects.filter(lock="")) == ["a"]
    source.release_all_owned()
    assert facade.names(facade.BalsamJob.objects.exclude(lock="")) == ["c"], "a launcher's lock is not released"


def test_jobs_stay_acquired_while_their_program_moves_and_changes_them(facade: Facade) -> None:
    (job,) = facade.add("a", state="PREPROCESSED")
    source = facade.BalsamJob.source
    source.acquire(facade.BalsamJob.objects.all())
    job.args = "changed"
    job.save()
    job.update_state("RUNNING")
    assert facade.BalsamJob.objects.get().lock == source.lock_str
    job.update_state("RUN_DONE", release=True)
    assert (facade.BalsamJob.objects.get().lock, job.state) == ("", "RUN_DONE")
    assert facade.BalsamJob.objects.filter(lock="").update(lock="", args="x") == 1


def test_a_source_that_a_program_makes_shares_the_lease_of_its_process(facade: Facade) -> None:
    (job,) = facade.add("a", state="PREPROCESSED", workflow="search")
    facade.add("b", state="PREPROCESSED", workflow="other")
    source = facade.models.JobSource("sear")
    assert facade.names(source.by_states("PREPROCESSED")) == ["a"]
    assert source.acquire([job.pk]) == [job.pk]
    assert facade.names(facade.BalsamJob.source.filter(lock=source.lock_str)) == ["a"]
    facade.BalsamJob.source.release([job.pk])
    assert facade.BalsamJob.objects.get(pk=job.pk).lock == ""


def test_what_is_runnable_depends_on_nodes_time_and_mode(facade: Facade) -> None:
    facade.add("serial", state="PREPROCESSED")
    facade.add("mpi", state="RESTART_READY", ranks_per_node=2, wall_time_minutes=20)
    facade.add("wide", state="PREPROCESSED", num_nodes=4, workflow="other")
    facade.add("done", state="JOB_FINISHED")
    source = facade.BalsamJob.source
    assert facade.names(source.get_runnable(max_nodes=8)) == ["serial", "mpi", "wide"]
    assert facade.names(source.get_runnable(max_nodes=2)) == ["serial", "mpi"]
    assert facade.names(source.get_runnable(max_nodes=1, serial_only=True)) == ["serial"]
    assert facade.names(source.get_runnable(max_nodes=8, mpi_only=True, order_by="-num_nodes")) == ["wide", "mpi"]
    assert facade.names(source.get_runnable(max_nodes=8, remaining_minutes=10)) == ["serial", "wide"]
    with pytest.raises(ValueError, match="exclude each other"):
        source.get_runnable(max_nodes=1, serial_only=True, mpi_only=True)
    source.workflow = "oth"
    try:
        assert facade.names(source.get_runnable(max_nodes=8)) == ["wide"]
        assert facade.names(source.by_states({"PREPROCESSED": 1, "RUNNING": 2})) == ["wide"]
    finally:
        source.workflow = None


def test_the_locks_of_a_program_that_is_gone_are_cleared(facade: Facade) -> None:
    facade.add(*"abc", state="PREPROCESSED")
    ran = subprocess.run([sys.executable, "-c", _TAKES], capture_output=True, text=True, timeout=60, check=True)
    locks = set(ran.stdout.split())
    assert len(locks) == 1
    assert facade.names(facade.BalsamJob.objects.filter(lock__in=locks)) == ["a", "b"]
    facade.BalsamJob.source.clear_stale_locks()
    assert list(facade.BalsamJob.objects.values_list("name", "state", "lock")) == [
        ("a", "RESTART_READY", ""),
        ("b", "RESTART_READY", ""),
        ("c", "PREPROCESSED", ""),
    ]


def test_programs_that_acquire_at_once_get_different_jobs(facade: Facade) -> None:
    facade.add(*(f"job{number}" for number in range(30)), state="PREPROCESSED")
    code = (
        "from balsam.launcher.dag import BalsamJob\n"
        "print(*BalsamJob.source.acquire(BalsamJob.objects.order_by('?')[:15]))"
    )
    programs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    taken = [program.communicate(timeout=60)[0].split() for program in programs]
    assert [program.returncode for program in programs] == [0, 0]
    assert len(taken[0] + taken[1]) == len({*taken[0], *taken[1]})
    assert len(taken[0]) > 0
