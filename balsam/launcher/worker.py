"""The nodes of this allocation as Balsam 0.5's workers, one per node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from balsam.launcher.allocation import allocation
from balsam.launcher.mpi_commands import MPICommand

if TYPE_CHECKING:
    from balsam_core.models.nodes import Node

__all__ = ["Worker", "WorkerGroup"]


class Worker:
    """One node; `idle` says whether nothing was put on it, `mpi_cmd` makes MPI commands."""

    def __init__(self, node: Node, mpi_cmd: MPICommand) -> None:
        self.node = node
        self.id = node.id
        self.hostname = node.hostname
        self.num_nodes = 1
        self.host_type = "DEFAULT"
        self.idle = True
        self.mpi_cmd = mpi_cmd

    def __repr__(self) -> str:
        return f"worker{self.id}"


class WorkerGroup:
    """All nodes of the allocation, or `limit_nodes` of them from `offset_nodes` on."""

    host_type = "DEFAULT"

    def __init__(self, limit_nodes: int | None = None, offset_nodes: int = 0, **ignored: Any) -> None:
        self.mpi_cmd = MPICommand()
        last = offset_nodes + limit_nodes if limit_nodes else None
        self.workers = [Worker(node, self.mpi_cmd) for node in allocation().nodes[offset_nodes:last]]

    def __iter__(self) -> Iterator[Worker]:
        return iter(self.workers)

    def __len__(self) -> int:
        return len(self.workers)

    def __getitem__(self, index: int) -> Worker:
        return self.workers[index]

    def idle_workers(self) -> list[Worker]:
        """Those on which nothing was put."""
        return [worker for worker in self.workers if worker.idle]

    def request(self, num_nodes: int) -> list[Worker]:
        """So many idle workers, which are idle no more; none when there are not enough."""
        idle = self.idle_workers()
        if len(idle) < num_nodes:
            return []
        for worker in idle[:num_nodes]:
            worker.idle = False
        return idle[:num_nodes]
