"""Plugins as the core calls them: what a stranger's code does wrong becomes an error of the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from balsam_core.errors import (
    BalsamError,
    ConfigError,
    LaunchError,
    PluginError,
    SchedulerError,
    SchedulerNotUnderstood,
)
from balsam_core.plugins.contracts import (
    BatchRecord,
    BatchState,
    BatchStatus,
    Command,
    CommandResult,
    IdleNodes,
    Launch,
    MpiLauncher,
    Scheduler,
    StatusReport,
)

if TYPE_CHECKING:
    from balsam_core.models.batch import BatchRequest


def mpi_command(mpi: MpiLauncher, launch: Launch) -> Command:
    """The command that starts `launch`; raises LaunchError, of which only this one program dies."""
    try:
        command = mpi.command(launch)
    except LaunchError:
        raise
    except Exception as error:  # a plugin is a stranger's code
        what = f"command of the MPI launcher {mpi.name!r} failed"
        raise LaunchError(f"{what}, tell its author: {type(error).__name__}: {error}") from error
    if not _is_command(command):
        raise LaunchError(f"command of the MPI launcher {mpi.name!r} returned {command!r}; tell its author")
    return command


_P = ParamSpec("_P")
_T = TypeVar("_T")
_Check = Callable[[object], bool]


class GuardedScheduler(Scheduler):
    """Hands every call on to `scheduler`.

    A method that builds something and fails, or builds no such thing, raises PluginError; one that reads an answer
    raises SchedulerNotUnderstood: what the scheduler has done is not known then.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.name = scheduler.name
        self.template = scheduler.template
        self.job_id_variable = scheduler.job_id_variable
        self.min_poll_seconds = scheduler.min_poll_seconds
        self.grace_seconds = scheduler.grace_seconds
        self.runs_here = scheduler.runs_here

    def template_values(self, request: BatchRequest) -> Mapping[str, object]:
        return self._built(_is_mapping, self._scheduler.template_values, request)

    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        return self._built(_is_command_or_none, self._scheduler.submit_command, request, script, dry_run)

    def parse_submit(self, result: CommandResult) -> str:
        return self._read([result], _is_id, self._scheduler.parse_submit, result)

    def status_command(self, ids: Sequence[str], user: str) -> Command:
        return self._built(_is_command, self._scheduler.status_command, ids, user)

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        return self._read([result], _is_report, self._scheduler.parse_status, ids, result)

    def find_command(self, tag: str, user: str) -> Command | None:
        return self._built(_is_command_or_none, self._scheduler.find_command, tag, user)

    def parse_find(self, result: CommandResult) -> str | None:
        return self._read([result], _is_id_or_none, self._scheduler.parse_find, result)

    def history_commands(self, records: Sequence[BatchRecord]) -> Sequence[Command]:
        return self._built(_are_commands, self._scheduler.history_commands, records)

    def parse_history(self, records: Sequence[BatchRecord], results: Sequence[CommandResult]) -> StatusReport:
        return self._read(results, _is_report, self._scheduler.parse_history, records, results)

    def idle_command(self) -> Command | None:
        return self._built(_is_command_or_none, self._scheduler.idle_command)

    def parse_idle(self, result: CommandResult) -> Sequence[IdleNodes]:
        return self._read([result], _are_idle_nodes, self._scheduler.parse_idle, result)

    def cancel_command(self, ids: Sequence[str]) -> Command:
        return self._built(_is_command, self._scheduler.cancel_command, ids)

    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        return self._read([result], _are_ids, self._scheduler.parse_cancel, ids, result)

    def _built(self, is_right: _Check, method: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return self._called(PluginError, is_right, method, *args, **kwargs)

    def _read(
        self,
        results: Sequence[CommandResult],
        is_right: _Check,
        method: Callable[_P, _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        raw = "".join(f"{result.stdout}{result.stderr}" for result in results)
        return self._called(partial(SchedulerNotUnderstood, raw=raw), is_right, method, *args, **kwargs)

    def _called(
        self,
        error: Callable[[str], BalsamError],
        is_right: _Check,
        method: Callable[_P, _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        what = f"{method.__name__} of the scheduler {self.name!r}"
        try:
            value = method(*args, **kwargs)
        except (ConfigError, PluginError, SchedulerError):
            raise
        except Exception as failure:  # a plugin is a stranger's code
            raise error(f"{what} failed, tell its author: {type(failure).__name__}: {failure}") from failure
        if not is_right(value):
            raise error(f"{what} returned {value!r}, which breaks its contract; tell its author")
        return value


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_command(value: object) -> bool:
    return isinstance(value, Command)


def _is_command_or_none(value: object) -> bool:
    return value is None or isinstance(value, Command)


def _are_commands(value: object) -> bool:
    return _is_list(value, Command)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_id_or_none(value: object) -> bool:
    return value is None or _is_id(value)


def _are_ids(value: object) -> bool:
    return isinstance(value, frozenset | set)


def _are_idle_nodes(value: object) -> bool:
    return _is_list(value, IdleNodes)


def _is_report(value: object) -> bool:
    return isinstance(value, StatusReport) and all(
        isinstance(status, BatchStatus) and isinstance(status.state, BatchState) for status in value.jobs.values()
    )


def _is_list(value: object, of: type) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, of) for one in value)
