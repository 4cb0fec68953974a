"""The files of a call: a function with its arguments, and what became of it, as pickles in the folder of its job."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

T = TypeVar("T")
Call: TypeAlias = tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]]


class RemoteTraceback(Exception):
    """The traceback of an exception where it was raised, as text; it is the `__cause__` of that exception here."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class CannotPickle(Exception):
    """What a call returned or raised cannot be pickled; the message shows it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call: its value, or the exception that it raised."""

    value: Any = None
    error: BaseException | None = None


def call_each(fn: Callable[..., T], turns: Sequence[Sequence[Any]]) -> list[T]:
    """What a function returns for the arguments of each turn: many calls in one job."""
    return [fn(*turn) for turn in turns]


@dataclass(frozen=True)
class CallFiles:
    """The two files of one call; named by the whole id, because a folder may be shared."""

    folder: Path
    job_id: UUID

    @property
    def call(self) -> Path:
        """The function and its arguments."""
        return self.folder / f"call_{self.job_id}.pickle"

    @property
    def result(self) -> Path:
        """What became of it."""
        return self.folder / f"call_{self.job_id}.result.pickle"

    def write_call(self, call: Call) -> None:
        """Write the call, and where its modules may be found; the folder is there. Raises what pickling it raises."""
        import cloudpickle

        with self.call.open("wb") as file:
            pickle.dump([os.path.abspath(entry) for entry in sys.path], file)  # noqa: PTH100 - "" is the current folder
            cloudpickle.dump(call, file, protocol=5)

    def read_call(self) -> Call:
        """The call; modules are found where its submitter would find them, after those of this Python."""
        with self.call.open("rb") as file:
            sys.path += [entry for entry in pickle.load(file) if entry not in sys.path]
            call: Call = pickle.load(file)
            return call

    def write_value(self, value: Any) -> None:
        """Write what the call returned; raises CannotPickle."""
        try:
            self._write_result(("value", value))
        except Exception as error:
            raise CannotPickle(f"the result, a {type(value).__qualname__}, cannot be pickled: {error}") from error

    def write_error(self, error: BaseException) -> None:
        """Write what the call raised; what cannot be pickled is described."""
        import cloudpickle

        text = "".join(traceback.format_exception(error))
        try:
            # Many a class of exceptions can be pickled, but not made again from that.
            pickle.loads(cloudpickle.dumps(error))
            self._write_result(("error", error, text))
        except Exception as reason:
            described = f"{type(error).__qualname__}: {error} (the exception itself cannot be pickled: {reason})"
            self._write_result(("error", CannotPickle(described), text))

    def read_outcome(self) -> Outcome | None:
        """What became of the call; None: nothing has been written. Raises what unpickling it raises."""
        try:
            with self._opened_result() as file:
                kind, *parts = pickle.load(file)
        except FileNotFoundError:
            return None
        if kind == "value":
            return Outcome(parts[0])
        error, text = parts
        error.__cause__ = RemoteTraceback(text)
        return Outcome(error=error)

    def remove_result(self) -> None:
        """Remove what became of it in an earlier attempt."""
        self.result.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the call, and its folder when nothing else is in it; for a job that was never added."""
        self.call.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _write_result(self, result: tuple[Any, ...]) -> None:
        import cloudpickle

        # Whole or not at all, whatever happens meanwhile.
        partial = self.result.with_suffix(f".{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                cloudpickle.dump(result, file, protocol=5)
            partial.replace(self.result)
        finally:
            partial.unlink(missing_ok=True)

    def _opened_result(self) -> Any:
        try:
            return self.result.open("rb")
        except FileNotFoundError:
            # A network file system remembers that a file was not there, until its folder is read.
            list(self.folder.iterdir())
            return self.result.open("rb")
