"""Compute nodes, and the part of one that a job is given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """One compute node of an allocation.

    id: unique within the allocation; hostname: what an MPI launcher is told.
    cpus: the ids of its cores as `os.sched_setaffinity` counts them; empty: unknown, nothing is bound.
    gpus: the ids that `gpu_variable` understands. numa: the cpu ids of each NUMA domain.
    is_virtual: plays a node on this very host (tests, laptops): processes are not bound to cores there.
    is_remote: only the MPI launcher reaches it, and no launcher runs there (the compute nodes of a Cray XC).
    """

    id: str
    hostname: str
    cpus: tuple[int, ...] = ()
    threads_per_core: int = 1
    gpus: tuple[str, ...] = ()
    memory_mb: int | None = None
    numa: tuple[tuple[int, ...], ...] = ()
    gpu_variable: str = "CUDA_VISIBLE_DEVICES"
    is_virtual: bool = False
    is_remote: bool = False


@dataclass(frozen=True)
class Placement:
    """A node, and the cores and GPUs on it that one job owns while it runs; no cores: not bound."""

    node: Node
    cpus: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Allocation:
    """The nodes that a launcher may use; job_id is the scheduler's (None: no batch job)."""

    nodes: tuple[Node, ...]
    job_id: str | None = None
    seconds_left: float | None = None
