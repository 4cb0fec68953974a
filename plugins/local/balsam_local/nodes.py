"""The node source `local`: this host, or several nodes played on it, or those of a batch job of the queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from balsam_core.plugins import Allocation, Hardware, LaunchError, Node, NodeSource, Probe

if TYPE_CHECKING:
    from balsam_local.settings import LocalSettings


class LocalNodes(NodeSource):
    """Answers on every machine, so `auto` asks it last.

    clock: seconds since the epoch, in which a batch job is told its end.
    """

    name = "local"
    is_fallback = True

    def __init__(self, settings: LocalSettings, clock: Callable[[], float] = time.time) -> None:
        self._virtual_nodes = settings.virtual_nodes
        self._clock = clock

    def discover(self, probe: Probe) -> Allocation:
        job_id = probe.environ.get("BALSAM_LOCAL_JOB_ID")
        names = [f"n{number}" for number in range(1, self._virtual_nodes + 1)]
        if job_id is None:
            return Allocation(self._nodes(probe.hardware(), names))
        names = _given_nodes(probe.environ, job_id)
        return Allocation(self._nodes(probe.hardware(), names), job_id, self._seconds_left(probe.environ))

    def _nodes(self, hardware: Hardware, names: Sequence[str]) -> tuple[Node, ...]:
        host = _node(hardware)
        if self._virtual_nodes == 0 and len(names) <= 1:
            return (host,)
        return tuple(replace(host, id=name, hostname=name, is_virtual=True) for name in names)

    def _seconds_left(self, environ: Mapping[str, str]) -> float | None:
        try:
            return max(0.0, float(environ["BALSAM_LOCAL_END_TIME"]) - self._clock())
        except (KeyError, ValueError):
            return None


def _given_nodes(environ: Mapping[str, str], job_id: str) -> list[str]:
    """The nodes that the queue has given to a batch job."""
    names = list(dict.fromkeys(name for name in environ.get("BALSAM_LOCAL_NODES", "").split(",") if name))
    if not names:
        raise LaunchError(
            f"the batch job {job_id} of the local queue does not say its nodes: BALSAM_LOCAL_NODES is empty; "
            "unset BALSAM_LOCAL_JOB_ID to use the whole host"
        )
    return names


def _node(hardware: Hardware) -> Node:
    return Node(
        id=hardware.hostname,
        hostname=hardware.hostname,
        cpus=hardware.cpus,
        threads_per_core=hardware.threads_per_core,
        gpus=hardware.gpus,
        memory_mb=hardware.memory_mb,
        numa=hardware.numa,
        gpu_variable=hardware.gpu_variable,
    )
