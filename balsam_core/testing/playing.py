"""Builders of what the core hands to plugins: requests, launches, and a machine that is played."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from balsam_core.models.batch import BatchRequest
from balsam_core.models.nodes import Node, Placement
from balsam_core.plugins.contracts import Command, CommandResult, Hardware, Launch, Probe


def a_request(**fields: Any) -> BatchRequest:
    """A request for two nodes and 30 minutes, unless the fields say otherwise."""
    given = {"tag": "ql1-00000000", "nodes": 2, "time_limit_minutes": 30, "job_mode": "mpi", "workdir": "/site/qsubmit"}
    files = {"output_prefix": "/site/qsubmit/qlaunch1", "launch_id": UUID(int=1)}
    return BatchRequest.model_validate({**given, **files, **fields})


def a_launch(nodes: int = 1, *, cpus: int = 64, gpus: int = 0, **fields: Any) -> Launch:
    """A program on all of so many nodes (nid00001 ..., as Cray has them), one rank on each unless the fields differ."""
    cores, ids = tuple(range(cpus)), tuple(map(str, range(gpus)))
    names = [f"nid{number:05d}" for number in range(1, nodes + 1)]
    placements = tuple(Placement(Node(name, name, cpus=cores, gpus=ids), cores, ids) for name in names)
    return Launch(**{"argv": ("a.out",), "placements": placements, **fields})


@dataclass
class PlayedProbe(Probe):
    """A machine as a test says it is; what is asked of commands is noted in `asked`.

    answers: by the command's name: its standard output, a whole result, or a function of the command.
    """

    environ: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, str | CommandResult | Callable[[Command], CommandResult]] = field(default_factory=dict)
    host: Hardware = field(default_factory=lambda: Hardware("here", (0, 1, 2, 3)))
    asked: list[Command] = field(default_factory=list)

    def read_text(self, path: str) -> str | None:
        """The text of one of `files`."""
        return self.files.get(path)

    def run(self, command: Command) -> CommandResult:
        """The answer to the command; one that is not in `answers` does not exist."""
        self.asked.append(command)
        name = command.argv[0]
        if name not in self.answers:
            return CommandResult(command.argv, 127, stderr=f"{name}: command not found")
        answer = self.answers[name]
        if isinstance(answer, str):
            return CommandResult(command.argv, 0, answer)
        return answer if isinstance(answer, CommandResult) else answer(command)

    def hardware(self) -> Hardware:
        """The host."""
        return self.host
