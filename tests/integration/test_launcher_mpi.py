"""Parallel programs under `balsam launcher --job-mode mpi`, with a real mpiexec and mpi4py."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.helpers import only
from tests.integration.launching import PLAIN, Site, marked, most_at_once, temporary_site, wait_until

RANKS = """
import json, os, sys, time
from mpi4py import MPI
comm = MPI.COMM_WORLD
start = time.monotonic()
comm.Barrier()
time.sleep(float(sys.argv[1]))
names = ["BALSAM_JOB_MODE", "BALSAM_LAUNCHER_NODES", "OMP_NUM_THREADS", "BALSAM_ATTEMPT", "CUDA_VISIBLE_DEVICES"]
rows = comm.gather({"rank": comm.rank, **{name: os.environ.get(name) for name in names}})
if comm.rank == 0:
    print(json.dumps({"size": comm.size, "rows": rows, "start": start, "stop": time.monotonic()}))
"""

PLUGIN = """
from balsam_core.plugins import Command, MpiLauncher, hookimpl

class AskedRun(MpiLauncher):
    name = "askedrun"

    def command(self, launch):
        return Command(launch.argv, launch.env)

    def stop_command(self, pid, force):
        return Command(("sh", "-c", f"echo {pid} > {'forced' if force else 'asked'}"))

@hookimpl
def balsam_mpi_launchers():
    return [AskedRun()]
"""

pytestmark = pytest.mark.mpi


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        site.app("ranks", site.program("ranks.py", RANKS).replace(" ", " -m mpi4py ", 1))
        yield site


def result(site: Site, job: UUID) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.output(job))
    return found


def test_programs_of_several_nodes_run_side_by_side_and_never_more_than_fit(site: Site) -> None:
    fields: dict[str, Any] = {"application": "ranks", "args": "0.4", "ranks_per_node": 2, "threads_per_rank": 3}
    wide = [site.add(f"wide{number}", num_nodes=2, **fields) for number in range(3)]
    narrow = [site.add(f"narrow{number}", num_nodes=1, **fields) for number in range(2)]
    site.add("huge", num_nodes=5)
    launcher = site.run("--gpus-per-node", "2", mode="mpi", BALSAM_LOCAL__VIRTUAL_NODES="4")
    results = {job: result(site, job) for job in (*wide, *narrow)}
    assert [results[job]["size"] for job in wide] == [4, 4, 4]
    assert [results[job]["size"] for job in narrow] == [2, 2]
    environ = {
        "BALSAM_JOB_MODE": "mpi",
        "BALSAM_LAUNCHER_NODES": "4",
        "OMP_NUM_THREADS": "3",
        "BALSAM_ATTEMPT": "1",
        "CUDA_VISIBLE_DEVICES": "0,1",
    }
    assert results[wide[0]]["rows"] == [{"rank": rank, **environ} for rank in range(4)]
    spans = [(row["start"], row["stop"]) for job, row in results.items() for _ in range(2 if job in wide else 1)]
    assert 2 <= most_at_once(spans) <= 4
    assert {tuple(site.history(job)) for job in results} == {tuple(PLAIN)}
    assert "left: 1 job: asks for 5 nodes, the launcher has 4" in launcher.text


def test_single_ranks_share_a_node_only_when_they_say_so_and_gpus_are_theirs_alone(site: Site) -> None:
    fields: dict[str, Any] = {"application": "ranks", "args": "0.5"}
    packed = [site.add(f"packed{number}", node_packing_count=2, **fields) for number in range(4)]
    none = site.add("none", gpus_per_rank=0, **fields)
    site.run("--gpus-per-node", "2", mode="mpi")
    rows = [result(site, job) for job in packed]
    assert most_at_once([(row["start"], row["stop"]) for row in rows]) == 2
    assert {row["rows"][0]["CUDA_VISIBLE_DEVICES"] for row in rows} == {"0", "1"}
    assert result(site, none)["rows"][0]["CUDA_VISIBLE_DEVICES"] == ""


def test_the_nodes_of_one_allocation_can_be_shared_out_to_launchers(site: Site) -> None:
    site.add("three", num_nodes=3)
    job = site.add("job", application="ranks", args="0", num_nodes=2)
    launcher = site.run("--offset-nodes", "1", "--limit-nodes", "2", mode="mpi", BALSAM_LOCAL__VIRTUAL_NODES="4")
    assert result(site, job)["rows"][0]["BALSAM_LAUNCHER_NODES"] == "2"
    assert "asks for 3 nodes, the launcher has 2" in launcher.text
    beyond = site.start("--offset-nodes", "4", mode="mpi", BALSAM_LOCAL__VIRTUAL_NODES="4")
    assert beyond.wait() == 1
    assert "the allocation has 4, --offset-nodes is 4" in beyond.text


def test_killjob_and_the_end_of_a_launcher_leave_no_rank_behind(site: Site) -> None:
    mark = {"MARK": str(site.folder)}
    killed, stopped = (
        site.add(name, application="ranks", args="300", ranks_per_node=2, num_nodes=2, environ_vars=mark)
        for name in ("killed", "stopped")
    )
    launcher = site.start(mode="mpi", BALSAM_LOCAL__VIRTUAL_NODES="4")
    # Two times mpiexec, its proxies and four ranks.
    wait_until(lambda: len(marked(str(site.folder))) >= 14)
    site.store.kill(only(killed))
    assert wait_until(lambda: len(marked(str(site.folder))) <= 7) < 2
    site.wait_state(stopped, "RUNNING")
    launcher.send(signal.SIGTERM)
    assert launcher.wait() == 0
    assert marked(str(site.folder)) == []
    assert site.history(killed)[-2:] == ["RUNNING", "USER_KILLED"]
    assert site.history(stopped)[-2:] == ["RUN_TIMEOUT", "RESTART_READY"]


def test_after_kill_9_of_launcher_and_worker_no_rank_runs_on_beside_the_second_attempt(site: Site) -> None:
    mark = {"MARK": str(site.folder)}
    job = site.add("job", application="ranks", args="300", ranks_per_node=2, environ_vars=mark)
    first = site.start(mode="mpi")
    wait_until(lambda: len(marked(str(site.folder))) >= 4)
    site.wait_state(job, "RUNNING")
    worker = first.worker
    first.send(signal.SIGKILL)
    worker.kill()
    first.wait()
    site.store.change_jobs(only(job), {"args": "0"})
    site.run(mode="mpi")
    assert marked(str(site.folder)) == []
    assert site.history(job)[2:] == ["RUNNING", "RESTART_READY", *PLAIN[2:]]
    assert result(site, job)["rows"][0]["BALSAM_ATTEMPT"] == "2"


def test_a_rank_that_fails_fails_the_job_with_its_traceback(site: Site) -> None:
    code = (
        "from mpi4py import MPI; r = MPI.COMM_WORLD.rank; assert r == 0, 'rank one is unwell'; MPI.COMM_WORLD.Barrier()"
    )
    site.app("bad", f'{sys.executable} -m mpi4py -c "{code}"')
    job = site.add("job", application="bad", ranks_per_node=2)
    began = time.monotonic()
    site.run(mode="mpi")
    assert time.monotonic() - began < 20
    assert site.history(job)[-2:] == ["RUN_ERROR", "FAILED"]
    assert "rank one is unwell" in site.message(job, "RUN_ERROR")


def test_a_program_whose_mpi_launcher_has_a_command_to_stop_it_is_not_signalled(site: Site, tmp_path: Path) -> None:
    metadata = tmp_path / "lib" / "balsam_asked-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: balsam-asked\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[balsam.plugins]\nasked = balsam_asked\n")
    (metadata.parent / "balsam_asked.py").write_text(PLUGIN)
    path = os.pathsep.join([str(metadata.parent), site.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    job = site.add("job", "trap '' TERM; echo started; while ! test -e asked; do sleep 0.05; done")
    launcher = site.start("--mpi", "askedrun", mode="mpi", PYTHONPATH=path, BALSAM_LAUNCHER__STOP_GRACE_SECONDS="30")
    site.wait_output(job, "started")
    launcher.send(signal.SIGTERM)
    assert launcher.wait() == 0
    assert site.history(job)[2:] == ["RUNNING", "RUN_TIMEOUT", "RESTART_READY"]
    assert sorted(path.name for path in site.workdir(job).glob("*ed")) == ["asked"]


def test_a_serial_job_may_be_an_mpi_program_itself_or_start_one(site: Site) -> None:
    single = site.add("single", application="ranks", args="0")
    mpiexec = Path(sys.executable).with_name("mpiexec")
    nested = site.add("nested", f"{mpiexec} -n 2 {sys.executable} {site.folder}/ranks.py 0")
    site.run()
    assert (result(site, single)["size"], result(site, nested)["size"]) == (1, 2)
