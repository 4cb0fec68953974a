"""Presets of machines with PBS, after their public documentation of 2024."""

from __future__ import annotations

from balsam_core.plugins import Machine, NodeShape, Queue

# https://docs.alcf.anl.gov/polaris: `prod` hands a batch job on to the queue for its size, each with its own limit;
# `demand` is left out, for it takes only those who have applied for it.
POLARIS = Machine(
    "polaris",
    scheduler="pbs",
    mpi="pals",
    nodes="pbs",
    node=NodeShape(cpus=32, threads_per_core=2, gpus=4, memory_mb=512_000),
    queues=(
        Queue("debug", max_nodes=2, max_minutes=60),
        Queue("debug-scaling", max_nodes=10, max_minutes=60, max_queued=1),
        Queue("prod", min_nodes=10, max_nodes=24, max_minutes=3 * 60),
        Queue("prod", min_nodes=25, max_nodes=99, max_minutes=6 * 60),
        Queue("prod", min_nodes=100, max_nodes=496, max_minutes=24 * 60),
        Queue("preemptable", max_nodes=10, max_minutes=72 * 60, max_queued=20),
    ),
    database="postgresql",
    description="ALCF Polaris: HPE Apollo, 32 cores and 4 A100 GPUs per node",
    plugin_settings={"pbs": {"select": "system=polaris", "place": "scatter", "filesystems": "home:eagle"}},
)

MACHINES = (POLARIS,)
