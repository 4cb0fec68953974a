"""What is still free of one node, counted exactly: its share, cores, GPUs and memory.

Only the standard library, and no dataclass: the worker process imports this.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

from balsam_core.launcher.messages import Bound, Need


class Slots:
    """Gives out shares of one node; no core and no GPU is ever given twice.

    cpus empty: nothing is bound, shares still count. memory_mb None: unknown, not counted.
    """

    def __init__(
        self,
        cpus: Sequence[int] = (),
        numa: Sequence[Sequence[int]] = (),
        gpus: Sequence[str] = (),
        memory_mb: int | None = None,
    ) -> None:
        self._cores = _Cores(cpus, numa)
        self._gpus = tuple(gpus)
        self._free_gpus = list(gpus)
        self._memory_mb = memory_mb
        self._free_memory_mb = memory_mb or 0
        # The free share is `_free / _whole`; `_whole` is a multiple of every packing in use.
        self._whole = 1
        self._free = 1

    @property
    def is_full(self) -> bool:
        """Whether nothing at all fits any more."""
        return self._free == 0

    def never(self, need: Need) -> str | None:
        """Why this node cannot hold the need even when it is empty; None: it can."""
        if need.packing < 1:
            return f"asks for a packing of {need.packing}, the least is 1"
        if self._gpus_of(need) > len(self._gpus):
            return f"asks for {need.gpus} GPUs per node, the node has {len(self._gpus)}"
        if self._memory_mb is not None and (need.memory_mb or 0) > self._memory_mb:
            return f"asks for {need.memory_mb} MB per node, the node has {self._memory_mb}"
        return None

    def take(self, need: Need) -> Bound | None:
        """The cores (none: not bound) and GPUs that now belong to the job; None: it does not fit now."""
        if self._free == 0 or need.packing < 1:
            return None
        gpus, memory_mb = self._gpus_of(need), self._memory_of(need)
        share = self._share(need.packing)
        if share > self._free or gpus > len(self._free_gpus) or memory_mb > self._free_memory_mb:
            return None
        self._free -= share
        self._free_memory_mb -= memory_mb
        given, self._free_gpus = self._free_gpus[:gpus], self._free_gpus[gpus:]
        return Bound(self._cores.take(need.packing), tuple(given))

    def release(self, bound: Bound, need: Need) -> None:
        """Give back what `take` gave for the same need."""
        self._free += self._share(need.packing)
        self._free_memory_mb += self._memory_of(need)
        if bound.gpus:
            self._free_gpus = [gpu for gpu in self._gpus if gpu in self._free_gpus or gpu in bound.gpus]
        self._cores.release(bound.cpus)
        if self._free == self._whole:
            self._free = self._whole = 1

    def _share(self, packing: int) -> int:
        if self._whole % packing:
            factor = lcm(self._whole, packing) // self._whole
            self._whole *= factor
            self._free *= factor
        return self._whole // packing

    def _gpus_of(self, need: Need) -> int:
        return len(self._gpus) // need.packing if need.gpus is None else max(need.gpus, 0)

    def _memory_of(self, need: Need) -> int:
        return max(need.memory_mb or 0, 0) if self._memory_mb is not None else 0


class _Cores:
    """The cores of a node, given out side by side and within one NUMA domain where that is possible."""

    def __init__(self, cpus: Sequence[int], numa: Sequence[Sequence[int]]) -> None:
        domain = {cpu: number for number, cpus_there in enumerate(numa) for cpu in cpus_there}
        self._ids = sorted(dict.fromkeys(cpus), key=lambda cpu: domain.get(cpu, len(numa)))
        self._domains = [domain.get(cpu, len(numa)) for cpu in self._ids]
        self._position = {cpu: place for place, cpu in enumerate(self._ids)}
        self._free = list(range(len(self._ids)))

    def take(self, packing: int) -> tuple[int, ...]:
        """Its part of the cores; none when the part is less than a core, or the whole node."""
        count = len(self._ids) // packing
        if packing == 1 or count == 0:
            return ()
        first = self._best_window(count)
        taken = self._free[first : first + count]
        del self._free[first : first + count]
        return tuple(self._ids[place] for place in taken)

    def release(self, cpus: Sequence[int]) -> None:
        if cpus:
            self._free.extend(self._position[cpu] for cpu in cpus)
            self._free.sort()

    def _best_window(self, count: int) -> int:
        """Where `count` free cores start: of one domain and side by side, else of one domain, else side by side."""
        free, domains = self._free, self._domains
        best, least = 0, 4
        for first in range(len(free) - count + 1):
            low, high = free[first], free[first + count - 1]
            penalty = 2 * (domains[low] != domains[high]) + (high - low != count - 1)
            if penalty == 0:
                return first
            if penalty < least:
                best, least = first, penalty
        return best
