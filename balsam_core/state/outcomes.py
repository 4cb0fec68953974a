"""What becomes of a job when an attempt ends: the states it goes through, by the job's own wishes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from balsam_core.state.machine import State


class End(str, Enum):
    """How an attempt ended, as the launcher saw it."""

    DONE = "done"
    ERROR = "error"
    TIMED_OUT = "timed out"
    STOPPED = "stopped"
    LOST = "lost"


@dataclass(frozen=True)
class Wishes:
    """What a job and its application ask for after a run, and how many reruns it has used up."""

    postprocess: bool = False
    stage_out: bool = False
    post_error_handler: bool = False
    post_timeout_handler: bool = False
    auto_timeout_retry: bool = True
    max_retries: int | None = None
    retries: int = 0


@dataclass(frozen=True)
class RetryPolicy:
    """The site's rule for reruns of jobs that set no `max_retries` of their own.

    An error is rerun when its exit code is one of `retry_codes` (None: could not start) and the attempt ended within
    `window_seconds`; an attempt that met its own `timeout_seconds`, up to `timeout_retries` times.
    """

    retry_codes: frozenset[int | None] = frozenset()
    window_seconds: float = 20.0
    max_retries: int = 0
    timeout_retries: int = 3

    def reruns(self, end: End, exit_code: int | None, seconds: float, wishes: Wishes) -> bool:
        """Whether the attempt is rerun at once."""
        if end is End.TIMED_OUT:
            allowed = self.timeout_retries if wishes.max_retries is None else wishes.max_retries
            return wishes.auto_timeout_retry and wishes.retries < allowed
        if end is End.ERROR:
            allowed = self.max_retries if wishes.max_retries is None else wishes.max_retries
            return exit_code in self.retry_codes and seconds <= self.window_seconds and wishes.retries < allowed
        return False


@dataclass(frozen=True)
class Step:
    """One state on the way, with the message of its event."""

    state: State
    message: str = ""


def after_run(
    end: End, wishes: Wishes, policy: RetryPolicy, *, exit_code: int | None, seconds: float, message: str
) -> tuple[list[Step], bool]:
    """The states of a RUNNING job after its attempt ended, the last being where it stops; and whether a rerun is used.

    A job whose state needs a script, a handler or staging stops there, for the transitions to go on with.
    """
    if end is End.LOST:
        return [Step(State.RESTART_READY, message)], False
    if end is End.DONE:
        return [Step(State.RUN_DONE, message), *_after_done(wishes)], False
    reruns = policy.reruns(end, exit_code, seconds, wishes)
    if end is End.ERROR:
        return [Step(State.RUN_ERROR, message), *_after_error(wishes, reruns)], reruns
    return [Step(State.RUN_TIMEOUT, message), *_after_timeout(end, wishes, reruns)], reruns


def _after_done(wishes: Wishes) -> list[Step]:
    if wishes.postprocess:
        return []
    return [Step(State.POSTPROCESSED)] if wishes.stage_out else [Step(State.JOB_FINISHED)]


def _after_error(wishes: Wishes, reruns: bool) -> list[Step]:
    if reruns:
        return [Step(State.RESTART_READY, "rerun: a retry code")]
    if wishes.post_error_handler and wishes.postprocess:
        return []
    return [Step(State.FAILED, "its error handler is asked for, but it has no postprocess script")
            if wishes.post_error_handler else Step(State.FAILED)]  # fmt: skip


def _after_timeout(end: End, wishes: Wishes, reruns: bool) -> list[Step]:
    if wishes.post_timeout_handler:
        if wishes.postprocess:
            return []
        return [Step(State.FAILED, "its timeout handler is asked for, but it has no postprocess script")]
    if not wishes.auto_timeout_retry:
        return [Step(State.FAILED, "auto_timeout_retry is off")]
    if end is End.STOPPED or reruns:
        return [Step(State.RESTART_READY)]
    return [Step(State.FAILED, f"met its own timeout_seconds after {wishes.retries} reruns, the limit")]
