"""Tries a transfer again after trouble that may pass; limits of all transfers of one job."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from balsam_core.errors import BalsamError
from balsam_core.transitions.urls import StagingError, TransferError

Result = TypeVar("Result")
Say = Callable[[str], None]
_LONGEST_PAUSE_SECONDS = 60.0
# Of HTTP, those that the server itself asks to try again: RFC 9110, RFC 6585.
_WORTH_WAITING = {408, 425, 429}


@dataclass(frozen=True)
class Limits:
    """What bounds the transfers of one job.

    retries: further tries of a file. at_once: files at a time. silence_seconds: how long a server may send nothing.
    timeout_seconds: all transfers of one staging together. pause_seconds: before the first retry; doubled each time.
    """

    retries: int = 2
    at_once: int = 4
    silence_seconds: float = 60.0
    timeout_seconds: float = 3600.0
    pause_seconds: float = 1.0


DEFAULT_LIMITS = Limits()


def persist(what: str, attempt: Callable[[], Result], limits: Limits, say: Say) -> Result:
    """What `attempt` gives, tried again after an error that may pass; raises TransferError, begun with `what`."""
    tries = 0
    while True:
        try:
            return attempt()
        except StagingError:
            raise
        except Exception as error:  # file systems of fsspec raise what the libraries below them do
            trouble = f"{what}: {reason(error)}" if what else reason(error)
            if is_final(error) or tries == limits.retries:
                raise TransferError(trouble) from error
            pause = min(limits.pause_seconds * 2**tries, _LONGEST_PAUSE_SECONDS)
            say(f"{trouble}; trying again in {pause:g} s")
            time.sleep(pause)
            tries += 1


def is_final(error: Exception) -> bool:
    """Whether another try would end the same: no such file, no right to it, a refusal by the server."""
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return True
    if isinstance(error, NotImplementedError | ValueError | TypeError | ImportError):
        return True
    status = getattr(error, "status", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in _WORTH_WAITING


def reason(error: Exception) -> str:
    """An error of a library in one line."""
    name = type(error).__name__
    if isinstance(error, BalsamError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, TimeoutError) or "Timeout" in name:
        return "no answer in time"
    words = " ".join(str(error).split())
    return f"{words} ({name})" if words else name
