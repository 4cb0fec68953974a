"""Networks that are really cut, and disks that are really full, in namespaces of their own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from balsam_core.state.machine import State
from tests import helpers
from tests.faults.invariants import check, runs
from tests.faults.namespaces import Network, disk, needs_namespaces, network
from tests.faults.world import World
from tests.integration.launching import is_alive, temporary_site, wait_until
from tests.integration.ranking import ranks_now
from tests.postgres import PostgresServer

pytestmark = needs_namespaces

# Ranks of one host would talk through shared memory, which no cut reaches.
_MPICH_OVER_TCP = {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp", "FI_TCP_IFACE": "lo", "MPIR_CVAR_NOLOCAL": "1"}


@pytest.fixture
def island() -> Iterator[Network]:
    with network() as island:
        yield island


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    helpers.SERVER.append(postgres_server)
    yield postgres_server
    helpers.SERVER.pop().give_back()


@pytest.mark.timeout(240)
@pytest.mark.postgres
def test_a_launcher_that_is_cut_off_ends_its_jobs_and_records_nothing_of_what_others_took(
    tmp_path: Path, server: PostgresServer, island: Network
) -> None:
    with temporary_site(tmp_path) as site, island.relay(server.port) as port:
        world = World(site, server=server)
        job = site.add("job", application="plain", args="200 1")
        url = make_url(site.environ["BALSAM_SITE__DATABASE"]).set(host=island.host, port=port)
        first = site.start(prefix=island.prefix, BALSAM_SITE__DATABASE=f"{url}", BALSAM_MACHINE_ID="another")
        site.wait_state(job, "RUNNING")
        island.cut()
        second = site.start("--persistent")
        # The second machine cannot end what runs on the first one.
        wait_until(lambda: ("start", 2) in runs(site, job), 60, lambda: second.text)
        assert first.wait(70) == 1, first.text
        assert world.job() is None
        site.wait_state(job, "JOB_FINISHED")
        assert "no PostgreSQL server answers" in first.text
        # How long both ran, if they did, depends on how busy this machine is.
        assert [line for line in runs(site, job) if line[0] != "overlap"] == [("start", 1), ("start", 2), ("end", 2)]
        assert "no heartbeat for" in site.message(job, "RESTART_READY")
        second.send(signal.SIGTERM)
        second.wait()
        check(site, [job], cut_off=True)


@pytest.mark.mpi
def test_ranks_whose_network_is_cut_are_given_up_and_start_again_when_it_is_mended(
    tmp_path: Path, island: Network
) -> None:
    with temporary_site(tmp_path) as site:
        world = World(site, nodes=3)
        jobs = [site.add(f"job{number}", application="plain", args="1") for number in range(6)]
        launcher = site.start(prefix=island.prefix, **_MPICH_OVER_TCP)
        wait_until(lambda: site.states().get("RUNNING", 0) == world.nodes, explain=lambda: launcher.text)
        before = {rank.pid for rank in ranks_now(launcher).values()}
        island.cut_loopback()
        wait_until(lambda: not any(map(is_alive, before)), explain=lambda: launcher.text)
        island.mend_loopback()
        assert launcher.wait() == 0, launcher.text
        assert "took back" in launcher.text
        check(site, jobs)


def test_a_full_disk_costs_no_job_that_room_does_not_bring_back(tmp_path: Path) -> None:
    with disk(tmp_path / "small", megabytes=4) as small, temporary_site(tmp_path) as site:
        site.store.database.close()
        small.take(site.folder / "balsam.db", site.folder / "data")
        world = World(site)
        world.jobs = site.add_many(20, "", application="plain", args="0.2", node_packing_count=3)
        launcher = site.start("--persistent").wait_started()
        wait_until(lambda: site.states().get("JOB_FINISHED", 0) > 3)
        small.fill()
        wait_until(lambda: "nothing was changed, free space" in launcher.text, explain=lambda: launcher.text)
        small.empty()
        wait_until(lambda: site.states().keys() <= {"JOB_FINISHED", "FAILED"}, explain=lambda: launcher.text)
        failed = [job.job_id for job in site.store.jobs() if job.state is State.FAILED]
        assert all("no space left" in site.message(job, "RUN_ERROR") for job in failed)
        if failed:
            site.store.move_by_hand(helpers.only(*failed), State.RESTART_READY)
        world.launchers.append(launcher)
        world.finish()
