"""Writes settings into `settings.toml`, where the file shows them as comments; its other lines stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from balsam_core.plugins.contracts import Machine, Queue

_HEADER = re.compile(r"\[+([\w.]+)\]+\s*")


def with_settings(text: str, values: Mapping[str, Mapping[str, object]]) -> str:
    """The file's text with these keys set, by section; a key that it does not show goes to the end of its section."""
    lines = text.splitlines()
    for section, keys in values.items():
        for key, value in keys.items():
            _set(lines, section, key, value)
    return "\n".join(lines) + "\n"


def with_queues(text: str, queues: Iterable[Queue]) -> str:
    """The file's text with a section for each queue at its end."""
    return "".join([text, *map(_queue, queues)])


def machine_values(machine: Machine) -> dict[str, dict[str, object]]:
    """What a preset sets, by section."""
    values: dict[str, dict[str, object]] = {
        "scheduler": {"name": machine.scheduler},
        "mpi": {"name": machine.mpi},
        "nodes": {"source": machine.nodes},
    }
    if machine.node is not None:
        shape = {"cpus": machine.node.cpus, "threads_per_core": machine.node.threads_per_core}
        values["nodes"] |= {**shape, "gpus": machine.node.gpus}
        if machine.node.memory_mb is not None:
            values["nodes"]["memory_mb"] = machine.node.memory_mb
    if machine.template is not None:
        values["template"] = {"file": machine.template.partition(":")[2]}
    for section, keys in machine.plugin_settings.items():
        values[section] = dict(keys)
    return values


def _set(lines: list[str], section: str, key: str, value: object) -> None:
    begin, end = _span(lines, section)
    written = f"{key} = {_toml(value)}"
    shown = re.compile(rf"(# )?{re.escape(key)} = ")
    for number in range(begin, end):
        if shown.match(lines[number]):
            lines[number] = written
            return
    while end > begin and not lines[end - 1].strip():
        end -= 1
    lines.insert(end, written)


def _span(lines: list[str], section: str) -> tuple[int, int]:
    """The lines below a section's header; the header is added when there is none."""
    headers = [number for number, line in enumerate(lines) if _HEADER.fullmatch(line) or line.startswith("# [[")]
    for place, number in enumerate(headers):
        if lines[number].strip() == f"[{section}]":
            return number + 1, headers[place + 1] if place + 1 < len(headers) else len(lines)
    lines += ["", f"[{section}]"]
    return len(lines), len(lines)


def _queue(queue: Queue) -> str:
    limits = {"min_nodes": queue.min_nodes, "max_nodes": queue.max_nodes}
    limits |= {"max_minutes": queue.max_minutes, "max_queued": queue.max_queued, "max_running": queue.max_running}
    lines = [f"name = {_toml(queue.name)}", *(f"{key} = {value}" for key, value in limits.items() if value is not None)]
    return "\n[[queues]]\n" + "".join(f"{line}\n" for line in lines)


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
