"""The machines at Argonne that ran Cobalt, as their public documentation described them from 2019 to 2023."""

from __future__ import annotations

from balsam_core.plugins import Machine, NodeShape, Queue

_HOURS = 60

# Theta lets larger batch jobs run longer: the smallest size of each step, and its hours.
_THETA_STEPS = ((128, 3), (256, 6), (384, 9), (640, 12), (802, 24))
_THETA_NODES = 4392

_FILE_SYSTEMS = {"cobalt": {"filesystems": ["home", "theta-fs0"]}}


def _theta_default() -> tuple[Queue, ...]:
    ends = [start - 1 for start, _ in _THETA_STEPS[1:]] + [_THETA_NODES]
    return tuple(
        Queue("default", min_nodes=start, max_nodes=end, max_minutes=hours * _HOURS, max_queued=20)
        for (start, hours), end in zip(_THETA_STEPS, ends, strict=True)
    )


MACHINES = (
    Machine(
        "theta",
        scheduler="cobalt",
        mpi="aprun",
        nodes="theta",
        # How much memory a node has depends on the mode that a batch job asks for: its node source knows.
        node=NodeShape(cpus=64, threads_per_core=4),
        queues=(
            Queue("debug-cache-quad", max_nodes=8, max_minutes=60, max_queued=1),
            Queue("debug-flat-quad", max_nodes=8, max_minutes=60, max_queued=1),
            *_theta_default(),
        ),
        database="postgresql",
        description="Cray XC40 at Argonne: 4392 nodes of one Xeon Phi 7230 (KNL)",
        plugin_settings=_FILE_SYSTEMS,
    ),
    Machine(
        "cooley",
        scheduler="cobalt",
        mpi="mpiexec",
        nodes="cobalt-nodefile",
        node=NodeShape(cpus=12, gpus=2, memory_mb=384 * 1024),
        queues=(
            Queue("default", max_nodes=110, max_minutes=12 * _HOURS, max_queued=30),
            Queue("debug", max_nodes=16, max_minutes=2 * _HOURS),
        ),
        database="postgresql",
        description="Visualization cluster at Argonne: 126 nodes of two Xeon E5-2620 v3 and one Tesla K80",
        plugin_settings=_FILE_SYSTEMS,
    ),
    Machine(
        "thetagpu",
        scheduler="cobalt",
        mpi="openmpi",
        nodes="cobalt-nodefile",
        node=NodeShape(cpus=128, threads_per_core=2, gpus=8, memory_mb=1024 * 1024),
        queues=(
            Queue("full-node", max_minutes=12 * _HOURS),
            Queue("single-gpu", max_nodes=1, max_minutes=12 * _HOURS),
            Queue("bigmem", max_nodes=1, max_minutes=12 * _HOURS),
        ),
        database="postgresql",
        description="DGX A100 nodes beside Theta: 24 nodes of two EPYC 7742 and 8 A100",
        plugin_settings=_FILE_SYSTEMS,
    ),
)
