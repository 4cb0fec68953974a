"""The older name of `balsam.launcher.futures`; a keyword now, so that it is imported by name only."""

from __future__ import annotations

from balsam.launcher.futures import FutureTask, TaskFailed, WaitResult, wait

__all__ = ["FutureTask", "TaskFailed", "WaitResult", "wait"]
