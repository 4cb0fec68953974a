"""A site whose batch jobs go to the Slurm of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.integration.launching import Site, temporary_site
from tests.slurm.cluster import SlurmCluster

SETTINGS = {
    "BALSAM_SCHEDULER__NAME": "slurm",
    "BALSAM_SCHEDULER__SAME_HOST": "true",
    "BALSAM_NODES__SOURCE": "slurm",
    "BALSAM_MPI__NAME": "srun",
    "BALSAM_SLURM__MPI_TYPE": "pmi2",
    "BALSAM_LAUNCHER__LEASE_SECONDS": "10",
}


def slurm_site(slurm: SlurmCluster, folder: Path) -> Iterator[Site]:
    """The site on SQLite; what is left of its batch jobs is cancelled."""
    with temporary_site(folder) as site:
        site.environ.update({**SETTINGS, "SLURM_CONF": slurm.environ["SLURM_CONF"], "PATH": slurm.environ["PATH"]})
        yield site
        for job in site.store.batches.select(machine_id=""):
            if job.scheduler_id:
                slurm.run("scancel", "--quiet", job.scheduler_id)
