"""`balsam service` on a real Slurm: mixed work drains without anybody who submits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.launching import Site
from tests.slurm.cluster import SlurmCluster
from tests.slurm.sites import slurm_site

pytestmark = [pytest.mark.slurm, pytest.mark.mpi]

QUEUES = '\n[[queues]]\nname = "debug"\nmax_nodes = 4\nmax_minutes = 60\nmax_queued = 2\n'


@pytest.fixture
def site(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Site]:
    """A site whose settings name the queue `debug`; its service is stopped, and its batch jobs are cancelled."""
    for site in slurm_site(slurm, tmp_path):
        settings = site.folder / "settings.toml"
        settings.write_text(settings.read_text() + QUEUES)
        site.environ["BALSAM_SERVICE__INTERVAL_SECONDS"] = "2"
        yield site
        site.balsam("service", "stop")


def test_three_hundred_jobs_of_mixed_size_drain_by_the_service_alone(site: Site) -> None:
    site.add_many(240, "sleep 0.1", node_packing_count=8, wall_time_minutes=1)
    for number in range(40):
        site.add(f"one{number}", ranks_per_node=2, wall_time_minutes=1)
    for number in range(20):
        site.add(f"two{number}", num_nodes=2, ranks_per_node=2, wall_time_minutes=1)
    site.balsam("service", "--detach")
    site.wait_all_ended(seconds=240)
    assert site.states() == {"JOB_FINISHED": 300}
    batches = site.store.batches.select(machine_id="")
    assert {batch.job_mode for batch in batches} == {"serial", "mpi"}
    # As many as the work needed, not one after another while it ran.
    assert len(batches) <= 6
    assert all(batch.nodes <= 4 for batch in batches)
    hours = json.loads(site.balsam("ls", "queues", "--history", "--json"))["queues"]
    assert sum(batch["jobs_done"] for batch in hours) == 300
