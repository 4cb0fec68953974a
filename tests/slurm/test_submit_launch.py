"""submit-launch on a real Slurm: from the commands that a user types to JOB_FINISHED, and what may come between."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from balsam_core.state.store import open_store
from tests.integration.launching import BALSAM, Site
from tests.postgres import PostgresServer, as_user, server_user
from tests.slurm.cluster import SlurmCluster, wait_until
from tests.slurm.sites import SETTINGS, slurm_site

pytestmark = pytest.mark.slurm

SECONDS = 120.0
NODES = {"node1", "node2", "node3", "node4"}
RANKS = "from mpi4py import MPI; c = MPI.COMM_WORLD; n = c.allreduce(1); c.rank or print('ranks', n, flush=True)\n"


@pytest.fixture
def site(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Site]:
    """A site on SQLite whose batch jobs go to Slurm; what is left of them is cancelled."""
    yield from slurm_site(slurm, tmp_path)


@pytest.fixture
def disturbing_site(slurm_cluster: SlurmCluster, tmp_path: Path) -> Iterator[Site]:
    """The same for a test that makes an outage."""
    yield from slurm_site(slurm_cluster, tmp_path)


def submit(site: Site, *words: str) -> int:
    """Submit; our number of the batch job."""
    said = site.balsam("submit-launch", *words, "--json")
    return int(json.loads(said)["number"])


def line(site: Site, number: int) -> dict[str, Any]:
    """What `ls queues` says of a batch job now."""
    listed = json.loads(site.balsam("ls", "queues", "--history", "--json"))
    found: dict[str, Any] = next(one for one in listed["queues"] if one["number"] == number)
    return found


def wait_for(site: Site, number: int, *states: str, seconds: float = SECONDS) -> dict[str, Any]:
    """Wait until the batch job is in one of the states."""
    wait_until(lambda: line(site, number)["state"] in states, seconds, every=0.5)
    return line(site, number)


def somebody() -> list[str]:
    """What goes before a command, so that an ordinary user runs it; nothing where they may not run this Python."""
    user = pwd.getpwnam(server_user())
    try:
        subprocess.run([sys.executable, "-c", ""], user=user.pw_uid, group=user.pw_gid, check=True, cwd="/")
    except (OSError, subprocess.CalledProcessError):
        return []
    return as_user()


@pytest.mark.postgres
def test_serial_jobs_run_on_four_nodes_from_a_postgresql_site_and_under_another_machine_id(
    slurm: SlurmCluster, postgres_server: PostgresServer
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="balsam-user-"))
    if drop := somebody():
        user = pwd.getpwnam(server_user())
        os.chown(folder, user.pw_uid, user.pw_gid)
    postgres_server.run("CREATE DATABASE ordinary")
    url = postgres_server.url("ordinary")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BALSAM_")}
    environ |= {"HOME": str(folder), "SLURM_CONF": slurm.environ["SLURM_CONF"], "PATH": slurm.environ["PATH"]}
    environ |= {"BALSAM_MACHINE_ID": "login"}

    def balsam(*words: str) -> str:
        done = subprocess.run(
            [*drop, BALSAM, *words], env=environ, cwd=folder, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, done
        return done.stdout

    balsam("init", "site", "--database", url)
    environ |= {**SETTINGS, "BALSAM_DB_PATH": str(folder / "site")}
    settings = folder / "site" / "settings.toml"
    exports = 'exports = { BALSAM_MACHINE_ID = "compute" }'
    settings.write_text(settings.read_text().replace("# exports = {}", exports))
    balsam("app", "--name", "AMBS", "--executable", "/bin/sleep")
    for number in range(8):
        words = ("--name", f"test{number}", "--application", "AMBS", "--workflow", "TEST", "--args", "0.5", "--yes")
        balsam("job", *words)
    said = balsam("submit-launch", "-n", "4", "-q", "debug", "-t", "5", "--job-mode", "serial", "--wf-filter", "TEST")
    assert said.startswith("Submit OK")
    store = open_store(url)
    try:
        wait_until(lambda: {str(state) for state in store.count_by_state()} == {"JOB_FINISHED"}, SECONDS)
        events = store.history([job.job_id for job in store.jobs()])
        nodes = {event.message.split()[1].rstrip(",") for event in events if event.to_state == "RUNNING"}
        assert nodes == NODES
        wait_until(lambda: json.loads(balsam("ls", "queues", "--json"))["queues"][0]["state"] == "ENDED", SECONDS)
        assert json.loads(balsam("ls", "queues", "--json"))["queues"][0]["jobs_done"] == 8
        assert {row.machine_id for row, _ in store.launchers(ended=True)} == {"compute"}
    finally:
        store.database.close()
        shutil.rmtree(folder)


@pytest.mark.mpi
def test_mpi_programs_run_over_two_nodes_by_srun_and_by_mpiexec_from_two_launchers_at_once(site: Site) -> None:
    program = site.program("ranks.py", RANKS)
    site.app("ranks", program)
    for mpi in ("srun", "mpiexec"):
        for number in range(2):
            site.add(f"{mpi}{number}", application="ranks", workflow=mpi, num_nodes=2, ranks_per_node=2)
    numbers = [
        submit(site, "-n", "2", "-t", "5", "--job-mode", "mpi", "--wf-filter", mpi, "--mpi", mpi)
        for mpi in ("srun", "mpiexec")
    ]
    site.wait_all_ended(SECONDS)
    assert site.states() == {"JOB_FINISHED": 4}, site.story(site.store.jobs()[0].job_id)
    # This srun remarks that it cannot bind.
    assert {site.output(job.job_id).splitlines()[-1] for job in site.store.jobs()} == {"ranks 4"}
    for number in numbers:
        assert wait_for(site, number, "ENDED")["jobs_done"] == 2


def test_a_refusal_is_told_in_slurms_words_and_an_sqlite_site_is_refused_for_other_hosts(site: Site) -> None:
    def refused(*words: str, **environ: str) -> str:
        argv = [BALSAM, "submit-launch", "-n", "1", "-t", "5", *words]
        done = subprocess.run(
            argv, env={**site.environ, **environ}, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
        return done.stderr

    assert "invalid partition specified: nowhere" in refused("-q", "nowhere")
    assert line(site, 1)["state"] == "REJECTED"
    said = refused(BALSAM_SCHEDULER__SAME_HOST="false")
    assert "SQLite database serves one host only; make a site with `balsam init PATH --database postgresql`" in said
    assert len(site.store.batches.select(machine_id="")) == 1


def test_a_cancelled_launcher_ends_in_order_and_its_jobs_can_run_again(site: Site) -> None:
    job = site.add("long", "echo up; sleep 300")
    number = submit(site, "-n", "1", "-t", "5", "--job-mode", "serial")
    site.wait_output(job, "up", SECONDS)
    assert line(site, number)["state"] == "RUNNING"
    site.balsam("cancel-launch", str(number), "--yes")
    assert wait_for(site, number, "CANCELLED")["exit_code"] in (0, None)
    assert site.state(job) == "RESTART_READY"
    assert "received SIGTERM" in site.message(job, "RUN_TIMEOUT")


@pytest.mark.mpi
def test_a_search_of_two_hundred_evaluations_runs_on_four_nodes(site: Site) -> None:
    programs = Path(__file__).parents[1] / "data" / "programs"
    site.app("AMBS", f"{sys.executable} {programs / 'search.py'}")
    search = site.add("search", application="AMBS", args="200 16", workflow="TEST", node_packing_count=8)
    submit(site, "-n", "4", "-t", "10", "--job-mode", "serial", "--wf-filter", "TEST")
    site.wait_state(search, "JOB_FINISHED", "FAILED", seconds=240)
    results = site.store.job(search).data["results"]
    objectives = {f"task{number}": -((number / 4 - 1) ** 2) for number in range(200)}
    del objectives["task6"]  # it hangs
    assert results == {**objectives, "task1": sys.float_info.min}
    wait_until(lambda: site.states() == {"JOB_FINISHED": 199, "FAILED": 1, "USER_KILLED": 1}, SECONDS)
    events = site.store.history([job.job_id for job in site.store.jobs()])
    assert {e.message.split()[1].rstrip(",") for e in events if e.to_state == "RUNNING"} == NODES


def test_what_the_walltime_cuts_off_runs_again_in_the_next_launch(site: Site) -> None:
    job = site.add("job", "echo up; test $BALSAM_ATTEMPT = 2 || exec sleep 300", workflow="TEST")
    words = ("-n", "1", "-t", "1", "--job-mode", "serial", "--wf-filter", "TEST")
    first = submit(site, *words)
    assert wait_for(site, first, "ENDED", seconds=120)["exit_code"] in (0, None)
    assert site.history(job)[2:] == ["RUNNING", "RUN_TIMEOUT", "RESTART_READY"]
    submit(site, *words)
    site.wait_state(job, "JOB_FINISHED", seconds=SECONDS)


def test_after_the_death_of_a_node_the_record_ends_and_the_next_launcher_runs_the_jobs_again(
    slurm_cluster: SlurmCluster, disturbing_site: Site
) -> None:
    site = disturbing_site
    job = site.add("job", "echo up; test $BALSAM_ATTEMPT = 2 || sleep 300")
    with slurm_cluster.alone():
        number = submit(site, "-n", "1", "-t", "5", "--job-mode", "serial")
        site.wait_output(job, "up", SECONDS)
        scheduler_id = line(site, number)["scheduler_id"]
        node = slurm_cluster.run("squeue", "--noheader", "--format=%N", f"--jobs={scheduler_id}").stdout.strip()
        slurm_cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        try:
            ended = wait_for(site, number, "ENDED")
        finally:
            slurm_cluster.run("scontrol", "update", f"nodename={node}", "state=resume")
        assert "NODE_FAIL" in ended["raw_state"]
        submit(site, "-n", "1", "-t", "5", "--job-mode", "serial")
        site.wait_state(job, "JOB_FINISHED", seconds=SECONDS)
    assert site.store.job(job).attempt == 2


def test_while_slurmctld_is_down_nothing_changes_and_afterwards_all_is_known(
    slurm_cluster: SlurmCluster, disturbing_site: Site
) -> None:
    site = disturbing_site
    site.environ["BALSAM_SCHEDULER__COMMAND_TIMEOUT_SECONDS"] = "2"
    job = site.add("job", "echo up; until test -e go; do sleep 0.1; done")
    number = submit(site, "-n", "1", "-t", "5", "--job-mode", "serial")
    site.wait_output(job, "up", SECONDS)
    wait_for(site, number, "RUNNING")
    with slurm_cluster.outage():
        (site.workdir(job) / "go").touch()
        site.wait_state(job, "JOB_FINISHED", seconds=SECONDS)
        wait_until(lambda: "slurm" in json.loads(site.balsam("ls", "queues", "--json"))["problems"], SECONDS)
        assert line(site, number)["state"] == "RUNNING"
    assert wait_for(site, number, "ENDED")["jobs_done"] == 1
    assert sys.executable in (site.folder / "qsubmit" / f"qlaunch{number}.sh").read_text()
