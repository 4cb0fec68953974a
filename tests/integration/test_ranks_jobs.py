"""Serial mode on several nodes, played on this host: where jobs run, what they get, and what it costs."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from tests.integration.launching import PLAIN, Launcher, Site, most_at_once, temporary_site, wait_until
from tests.integration.ranking import node_of, on_nodes, rank_processes

pytestmark = pytest.mark.mpi
SPAN = "date +%s.%N; sleep 0.3; date +%s.%N"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        yield site


def span(site: Site, job: UUID) -> tuple[float, float]:
    """When the job began and ended, by its own clock."""
    start, stop = site.output(job).split()[-2:]
    return float(start), float(stop)


def test_jobs_spread_over_the_nodes_and_each_runs_once_with_as_many_as_its_packing_allows(site: Site) -> None:
    parents = site.add_many(24, f"echo $BALSAM_ATTEMPT >> starts; {SPAN}", node_packing_count=2)
    site.app("staged", "/bin/sh -c", preprocess="/bin/true", postprocess="/bin/true")
    child = site.add("child", "test -e starts", application="staged", parents=parents[:3], input_files="starts")
    site.run(**on_nodes(4))
    assert site.states() == {"JOB_FINISHED": 25}
    assert {tuple(site.history(job)) for job in parents} == {tuple(PLAIN)}
    assert {(site.workdir(job) / "starts").read_text() for job in parents} == {"1\n"}
    places = Counter(node_of(site, job) for job in parents)
    assert places.keys() == {"n1", "n2", "n3", "n4"}
    assert max(places.values()) <= 9
    for node in places:
        assert most_at_once([span(site, job) for job in parents if node_of(site, job) == node]) <= 2
    assert site.store.job(child).attempt == 1
    assert list((site.folder / "log").glob("launcher-*-*-*-*-*")) == []


def test_each_node_gives_its_own_gpus_one_at_a_time_and_options_choose_the_nodes(site: Site) -> None:
    jobs = site.add_many(8, f"echo gpu $CUDA_VISIBLE_DEVICES; {SPAN}", node_packing_count=2)
    chosen = site.run("--gpus-per-node", "2", "--offset-nodes", "1", "--limit-nodes", "2", **on_nodes(4))
    assert "2 nodes of" in chosen.text
    gpus = [(node_of(site, job), site.output(job).split()[1]) for job in jobs]
    assert set(gpus) == {("n2", "0"), ("n2", "1"), ("n3", "0"), ("n3", "1")}
    for gpu in set(gpus):
        assert most_at_once([span(site, job) for job, its in zip(jobs, gpus, strict=True) if its == gpu]) == 1


def test_a_job_may_be_an_mpi_program_or_start_one_and_may_have_a_megabyte_of_arguments(site: Site) -> None:
    text = "from mpi4py import MPI\nprint('size', MPI.COMM_WORLD.size)\n"
    program = site.program("program.py", text)
    site.app("alone", program)
    mpiexec = Path(sys.executable).with_name("mpiexec")
    site.app("started", f"{mpiexec} -launcher fork -n 2 {program}")
    alone = [site.add(f"alone{number}", application="alone") for number in range(2)]
    started = site.add("started", application="started")
    long = site.add("long", args=" ".join(["x" * 100_000] * 10))
    site.run(**on_nodes(2))
    assert site.states() == {"JOB_FINISHED": 4}
    assert [site.output(job) for job in alone] == ["size 1\n"] * 2
    assert sorted(site.output(started)) == sorted("size 2\n" * 2)
    assert site.history(long) == PLAIN


def test_jobs_that_wait_on_a_full_node_move_to_one_that_has_room(site: Site) -> None:
    quick = site.add_many(60, ":", priority=2)
    blocker = site.add("blocker", "while ! test -e go; do sleep 0.05; done", priority=1)
    late = site.add_many(6, ":", workflow="late", priority=0)
    launcher = site.start(**on_nodes(2))
    wait_until(lambda: all(site.state(job) == "JOB_FINISHED" for job in (*quick, *late)))
    assert site.state(blocker) == "RUNNING"
    (site.workdir(blocker) / "go").touch()
    assert launcher.wait() == 0
    assert {site.store.job(job).attempt for job in (*quick, *late)} == {1}


def test_idle_ranks_take_less_than_a_hundredth_of_a_core_and_results_come_at_once(site: Site) -> None:
    # One after the other on the other nodes, so that no report waits while the master records another.
    for number in range(12):
        site.add(script=f"sleep {1 + number / 4}; date +%s.%N", node_packing_count=4)
    launcher = site.start("--persistent", **on_nodes(4))
    site.wait_all_ended()
    ends = {event.job_id: event.at for event in site.store.history(ids(site)) if event.to_state == "RUN_DONE"}
    late = [at - float(site.output(job)) for job, at in ends.items() if node_of(site, job) != "n1"]
    # The quickest: a busy machine delays some, a slow way would delay all.
    assert min(late) < 0.05, late
    # The quietest of three: the launcher beside them renews its lease now and then, which makes the master look.
    assert any(max(shares) < 0.01 for shares in (cpu_shares(launcher, 3.0) for _ in range(3)))


def ids(site: Site) -> list[UUID]:
    return [job.job_id for job in site.store.jobs()]


def cpu_shares(launcher: Launcher, seconds: float) -> list[float]:
    """Which part of a core each rank takes."""
    ranks = rank_processes(launcher, 4)
    before = [used(rank) for rank in ranks]
    time.sleep(seconds)
    return [(used(rank) - old) / seconds for rank, old in zip(ranks, before, strict=True)]


def used(rank: psutil.Process) -> float:
    """Seconds of CPU of all its threads, to the nanosecond; see "schedstats" of the Linux documentation."""
    threads = Path(f"/proc/{rank.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def test_without_mpi4py_the_error_says_what_to_install_and_one_node_works_all_the_same(site: Site) -> None:
    (site.folder / "lib").mkdir()
    (site.folder / "lib" / "sitecustomize.py").write_text("import sys\nsys.modules['mpi4py'] = None\n")
    path = os.pathsep.join([str(site.folder / "lib"), site.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    site.add()
    refused = site.start(**on_nodes(2), PYTHONPATH=path)
    assert refused.wait() == 1
    assert "serial mode on 2 nodes needs mpi4py; pip install 'balsam-core[mpi]'" in refused.text
    assert "Traceback" not in refused.text
    site.run("--limit-nodes", "1", **on_nodes(2), PYTHONPATH=path)
    assert site.states() == {"JOB_FINISHED": 1}
