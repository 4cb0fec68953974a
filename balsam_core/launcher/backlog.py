"""The tasks that a worker has not started yet."""

from __future__ import annotations

from collections.abc import Iterable

from balsam_core.launcher.messages import Bound, Need, Task
from balsam_core.launcher.slots import Slots


class Backlog:
    """Gives out tasks in the order they came; one that does not fit now is passed by those behind it.

    Tasks of the same shape wait in one line, so that a long backlog costs no more than the number of its shapes.
    """

    def __init__(self) -> None:
        self._lines: dict[Need, dict[int, Task]] = {}
        self._places: dict[str, tuple[Need, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, task: Task) -> None:
        """Put the task behind all others."""
        self._count += 1
        shape = task.need._replace(num_nodes=1, wall_seconds=None)
        self._lines.setdefault(shape, {})[self._count] = task
        self._places[task.key] = (shape, self._count)

    def take(self, slots: Slots) -> tuple[Task, Bound] | None:
        """The first task that fits, with the cores and GPUs that are now its own."""
        heads = [(next(iter(line)), shape) for shape, line in self._lines.items()]
        for number, shape in sorted(heads) if len(heads) > 1 else heads:
            bound = slots.take(shape)
            if bound is not None:
                return self._remove(self._lines[shape][number].key), bound
        return None

    def remove(self, keys: Iterable[str]) -> list[str]:
        """Take tasks out; the answer is those that were there."""
        return [self._remove(key).key for key in keys if key in self._places]

    def keys(self) -> list[str]:
        """All keys in it."""
        return list(self._places)

    def longer_than(self, seconds: float) -> list[str]:
        """The keys of the tasks that need more time than that."""
        lines = self._lines.values()
        return [task.key for line in lines for task in line.values() if (task.need.wall_seconds or 0) > seconds]

    def _remove(self, key: str) -> Task:
        shape, number = self._places.pop(key)
        line = self._lines[shape]
        task = line.pop(number)
        if not line:
            del self._lines[shape]
        return task
