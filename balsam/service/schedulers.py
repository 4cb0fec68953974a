"""What Balsam 0.5 knew of the batch job around it: `JobEnv`."""

from __future__ import annotations

import os

from balsam.launcher.allocation import allocation

__all__ = ["JobEnv", "JobEnvironment"]


class JobEnvironment:
    """The batch job in which this program runs; the plugins are asked when an attribute is read."""

    @property
    def current_scheduler_id(self) -> str | None:
        """What the scheduler calls it; None: there is none."""
        return allocation().job_id

    @property
    def num_workers(self) -> int:
        """How many nodes the launcher has."""
        given = os.environ.get("BALSAM_LAUNCHER_NODES")
        return int(given) if given else len(allocation().nodes)

    @property
    def workers_str(self) -> str:
        """Its nodes, joined by commas."""
        return ",".join(node.hostname for node in allocation().nodes)

    def remaining_time_seconds(self) -> float:
        """How long it may still run; inf: there is no limit."""
        seconds = allocation().seconds_left
        return float("inf") if seconds is None else seconds


JobEnv = JobEnvironment()
