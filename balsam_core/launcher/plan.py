"""What the launcher and the master of its ranks tell each other: a plan in a file, then orders and news by line."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from balsam_core.launcher.loop import Rules
from balsam_core.models.nodes import Node

# Before each line of news, so that nothing else that a rank prints is taken for one.
_NEWS = "balsam master: "


class Plan(BaseModel):
    """What a master needs to know. It goes through a file: hydra ends a program that does not read its input at once.

    environ: the launcher's, which jobs inherit. observed: whether a plugin wants to hear of every event.
    seconds_left: when it was written; the deadline in `rules` is on the launcher's clock, which another host lacks.
    """

    model_config = ConfigDict(frozen=True)

    rules: Rules
    nodes: tuple[Node, ...]
    workflow: str
    environ: dict[str, str]
    observed: bool
    seconds_left: float | None = None

    def write(self, file: Path) -> None:
        """Write it where only the user can read it: an environment may hold secrets."""
        file.touch(mode=0o600)
        file.write_text(self.model_dump_json())

    def own_rules(self) -> Rules:
        """The rules with a deadline on this process's own clock, which begins now: ask once, and early."""
        deadline = None if self.seconds_left is None else time.monotonic() + self.seconds_left
        return replace(self.rules, deadline=deadline, keeps_lease=False, persistent=True)


def read_plan(file: Path) -> Plan:
    """The plan in the file, which is gone afterwards."""
    text = file.read_text()
    file.unlink(missing_ok=True)
    return Plan.model_validate_json(text)


def plan_path(journals: Path, launcher_id: UUID) -> Path:
    """Where a launcher puts the plan for its master."""
    return journals / f"launcher-{launcher_id}.plan.json"


class News(BaseModel):
    """What the master says about itself, at least once a second.

    idle: nothing runs and nothing more can. ended: why it ends, the last thing that it says. lost: which rank is gone.
    failed: why nobody should start it again. events: rows for observers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    done: int = 0
    failed_jobs: int = 0
    timed_out: int = 0
    started: int = 0
    running: int = 0
    idle: bool = False
    ended: str = ""
    lost: str = ""
    failed: str = ""
    events: tuple[dict[str, Any], ...] = ()

    def line(self) -> str:
        """As it is printed."""
        return _NEWS + self.model_dump_json(exclude_defaults=True) + "\n"


def news_in(line: str) -> News | None:
    """The news in a line of output; None: it is somebody else's."""
    if not line.startswith(_NEWS):
        return None
    try:
        return News.model_validate_json(line.removeprefix(_NEWS))
    except ValueError:
        return None


def order_line(reason: str) -> str:
    """An order to stop for that reason; without one: to end as soon as nothing more can run."""
    return json.dumps({"stop": reason}) + "\n"


def reason_in(line: str) -> str:
    """The reason in an order."""
    return str(json.loads(line)["stop"])
