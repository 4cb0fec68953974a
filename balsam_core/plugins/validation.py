"""Checks what a plugin's provider hooks return: pluggy checks the names of arguments, and no types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from balsam_core.errors import PluginError
from balsam_core.plugins.contracts import Machine, MpiLauncher, NodeShape, NodeSource, Queue, Scheduler

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


class Named(Protocol):
    """Anything that the settings pick by its name."""

    @property
    def name(self) -> str: ...


_Offer = TypeVar("_Offer", bound=Named)


def checked(hook: str, returned: object, check: Callable[[object], _Offer]) -> tuple[_Offer, ...]:
    """What `hook` returned, each object checked; the error names the hook."""
    if isinstance(returned, str) or not isinstance(returned, Iterable):
        raise PluginError(f"{hook} returned {returned!r}, not a list")
    try:
        offers = tuple(check(item) for item in returned)
    except _BrokenError as error:
        raise PluginError(f"{hook} returned {error}") from None
    names = [offer.name for offer in offers]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"{hook} returned two objects named {name!r}")
    return offers


def scheduler(item: object) -> Scheduler:
    """`item` if it is a scheduler that keeps its contract."""
    if not isinstance(item, Scheduler):
        raise _not_a("Scheduler", item)
    _check_name(item)
    _check(item, "template", _is_template(getattr(item, "template", None)), "a text of the form 'package:file'")
    _check(item, "job_id_variable", _is_text(getattr(item, "job_id_variable", None)), "the name of a variable")
    _check(item, "min_poll_seconds", _is_number(item.min_poll_seconds, above_zero=True), "a number above 0")
    _check(item, "grace_seconds", _is_number(item.grace_seconds), "a number of at least 0")
    _check(item, "runs_here", isinstance(item.runs_here, bool), "True or False")
    return item


def mpi_launcher(item: object) -> MpiLauncher:
    """`item` if it is an MPI launcher that keeps its contract."""
    if not isinstance(item, MpiLauncher):
        raise _not_a("MpiLauncher", item)
    _check_name(item)
    _check(item, "max_concurrent", _is_count(item.max_concurrent), "None or a whole number above 0")
    _check(item, "min_interval_seconds", _is_number(item.min_interval_seconds), "a number of at least 0")
    return item


def node_source(item: object) -> NodeSource:
    """`item` if it is a node source that keeps its contract."""
    if not isinstance(item, NodeSource):
        raise _not_a("NodeSource", item)
    _check_name(item)
    _check(item, "name", item.name != "auto", "another name: the settings use 'auto' for all of them")
    _check(item, "is_fallback", isinstance(item.is_fallback, bool), "True or False")
    return item


def machine(item: object) -> Machine:
    """`item` if it is a machine that keeps its contract."""
    if not isinstance(item, Machine):
        raise _not_a("Machine", item)
    _check_name(item)
    for attribute in ("scheduler", "mpi", "nodes"):
        _check(item, attribute, _is_text(getattr(item, attribute)), "a name")
    _check(item, "node", item.node is None or isinstance(item.node, NodeShape), "None or a NodeShape")
    _check(item, "queues", all(isinstance(queue, Queue) for queue in item.queues), "a tuple of Queue")
    _check(item, "template", item.template is None or _is_template(item.template), "None or 'package:file'")
    _check(item, "database", item.database in ("sqlite", "postgresql"), "'sqlite' or 'postgresql'")
    return item


class _BrokenError(Exception):
    """An object that breaks its contract; the text follows `HOOK returned`."""


def _not_a(wanted: str, item: object) -> _BrokenError:
    if isinstance(item, type):
        return _BrokenError(f"the class {item.__name__}, which is no {wanted}; return an instance of it")
    return _BrokenError(f"{item!r}, which is no {wanted}")


def _check_name(item: object) -> None:
    name = getattr(item, "name", None)
    if not isinstance(name, str) or not _NAME.match(name):
        raise _BrokenError(f"{type(item).__name__} whose name is {name!r}, not a word")


def _check(item: Named, attribute: str, is_right: bool, wanted: str) -> None:
    if not is_right:
        value = getattr(item, attribute, None)
        raise _BrokenError(f"{type(item).__name__} {item.name!r} whose {attribute} is {value!r}, not {wanted}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_template(value: object) -> bool:
    return isinstance(value, str) and all(value.partition(":"))


def _is_number(value: object, above_zero: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value > 0 if above_zero else value >= 0


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0)
