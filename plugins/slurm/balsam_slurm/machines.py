"""Presets of machines with Slurm: Perlmutter's two kinds of nodes."""

from __future__ import annotations

from balsam_core.plugins import Machine, NodeShape, Queue

# https://docs.nersc.gov/jobs/policy/ and https://docs.nersc.gov/systems/perlmutter/architecture/, as of 2024. The QOS
# `interactive` takes salloc only.
_QUEUES = (
    Queue("debug", max_nodes=8, max_minutes=30, max_queued=5, max_running=2),
    Queue("regular", max_minutes=48 * 60, max_queued=5000),
)

PERLMUTTER_CPU = Machine(
    name="perlmutter-cpu",
    scheduler="slurm",
    mpi="srun",
    nodes="slurm",
    node=NodeShape(cpus=128, threads_per_core=2),
    queues=_QUEUES,
    database="postgresql",
    description="NERSC Perlmutter, CPU nodes: two AMD EPYC 7763",
    plugin_settings={"slurm": {"queue_is": "qos", "constraint": "cpu"}},
)

PERLMUTTER_GPU = Machine(
    name="perlmutter-gpu",
    scheduler="slurm",
    mpi="srun",
    nodes="slurm",
    node=NodeShape(cpus=64, threads_per_core=2, gpus=4),
    queues=_QUEUES,
    database="postgresql",
    description="NERSC Perlmutter, GPU nodes: one AMD EPYC 7763, four NVIDIA A100",
    plugin_settings={"slurm": {"queue_is": "qos", "constraint": "gpu", "gpus_per_node": 4}},
)
