"""Submits a batch job: recorded before its command runs, so that no crash submits it twice or forgets it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import ValidationError

from balsam_core.batch.asking import Shell, evidence_of
from balsam_core.batch.checks import check_limits, check_queued, check_reach, count_work
from balsam_core.batch.script import render_script
from balsam_core.commands import COMMAND_NOT_EXECUTABLE, COMMAND_NOT_FOUND, answer_of
from balsam_core.errors import (
    ConfigError,
    JobSpecError,
    PluginError,
    SchedulerError,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
)
from balsam_core.launcher.hints import known_workflow
from balsam_core.models.batch import BatchRequest, Change, Evidence, LaunchState
from balsam_core.models.wording import reasons
from balsam_core.plugins.contracts import Command, CommandResult, Scheduler
from balsam_core.plugins.registry import Registry
from balsam_core.settings import Settings
from balsam_core.site import Site
from balsam_core.state.hosts import machine_id
from balsam_core.state.store import Store


@dataclass(frozen=True)
class Wanted:
    """What `balsam submit-launch` is asked for; None: as the settings or the scheduler have it."""

    nodes: int
    time_limit_minutes: int
    job_mode: Literal["mpi", "serial"]
    queue: str | None = None
    project: str | None = None
    wf_filter: str | None = None
    scheduler: str | None = None
    mpi: str | None = None
    node_source: str | None = None
    gpus_per_node: int | None = None
    sched_flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submitted:
    """A batch job in the scheduler's queue; jobs: how many unfinished ones its launcher may take."""

    number: int
    scheduler: str
    scheduler_id: str
    script: Path
    command: tuple[str, ...]
    jobs: int


@dataclass(frozen=True)
class Rehearsal:
    """What would be submitted, without doing it; checked: what the scheduler's own dry run says, if it has one."""

    scheduler: str
    script: str
    command: tuple[str, ...]
    jobs: int
    checked: str | None


@dataclass(frozen=True)
class Submission:
    """One site's way to its schedulers."""

    site: Site
    store: Store
    settings: Settings
    registry: Registry
    shell: Shell

    def submit(self, wanted: Wanted) -> Submitted:
        """Submit one batch job.

        Raises JobSpecError (limits, workflow), ConfigError (settings, template, a database out of reach), PluginError,
        SchedulerRejected (the record says REJECTED), SchedulerUnavailable, SchedulerNotUnderstood: after these two the
        batch job may be queued all the same, and the next poll finds out.
        """
        scheduler, wanted, jobs = self._checked(wanted)
        request = self.store.batches.record(
            scheduler.name,
            machine_id(self.shell.environ),
            lambda number: self._request(wanted, number),
            lambda open_now: check_queued(wanted.queue, self.settings.queues, open_now),
        )
        number = _number_of(request)
        with self._rejected_on_error(request):
            script = self._write_script(scheduler, request)
            command = _submit_command(scheduler, request, script)
        try:
            result = self.shell.run(command)
        except BaseException:  # Ctrl-C: a notebook, say, lives on
            self._let_polls_look(request)
            raise
        scheduler_id = self._id_in(scheduler, request, result)
        values = {"scheduler_id": scheduler_id}
        message = f"{scheduler.name} calls it {scheduler_id}"
        self._move(request, LaunchState.QUEUED, message, values, evidence_of(result))
        return Submitted(number, scheduler.name, scheduler_id, script, command.argv, jobs)

    def rehearse(self, wanted: Wanted) -> Rehearsal:
        """What `submit` would do next; raises what it raises before it submits."""
        scheduler, wanted, jobs = self._checked(wanted)
        request = self._request(wanted, self.store.batches.next_number())
        text = self._render(scheduler, request)
        command = _submit_command(scheduler, request, Path(f"{request.output_prefix}.sh"))
        return Rehearsal(scheduler.name, text, command.argv, jobs, self._check_by_scheduler(scheduler, request, text))

    def _checked(self, wanted: Wanted) -> tuple[Scheduler, Wanted, int]:
        scheduler = self.registry.scheduler(wanted.scheduler or self.settings.scheduler.name)
        check_limits(wanted.queue, wanted.nodes, wanted.time_limit_minutes, self.settings.queues)
        check_reach(self.settings, scheduler)
        if wanted.mpi is not None:
            self.registry.mpi_launcher(wanted.mpi)
        if wanted.node_source not in (None, "auto"):
            self.registry.node_source(str(wanted.node_source))
        workflow = known_workflow(self.store, wanted.wf_filter or "")
        return scheduler, replace(wanted, wf_filter=workflow or None), count_work(self.store, workflow)

    def _request(self, wanted: Wanted, number: int) -> BatchRequest:
        launch_id = uuid4()
        fields = {name: value for name, value in vars(wanted).items() if name != "scheduler"}
        try:
            return BatchRequest(
                # OpenPBS 18 and older take no names longer than 15 characters.
                tag=f"ql{number}-{str(launch_id)[:8]}",
                workdir=str(self.site.qsubmit),
                output_prefix=str(self.site.qsubmit / f"qlaunch{number}"),
                launch_id=launch_id,
                **fields,
            )
        except ValidationError as error:
            raise JobSpecError(reasons(error)) from error

    def _render(self, scheduler: Scheduler, request: BatchRequest) -> str:
        return render_script(scheduler, request, self.site, self.settings.template, environ=self.shell.environ)

    def _write_script(self, scheduler: Scheduler, request: BatchRequest) -> Path:
        path = Path(f"{request.output_prefix}.sh")
        text = self._render(scheduler, request)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # Cobalt wants it executable; and it is nobody else's business.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700), "wb") as stream:  # noqa: PTH123 mode
            stream.write(_bytes(text))
        return path

    def _id_in(self, scheduler: Scheduler, request: BatchRequest, result: CommandResult) -> str:
        try:
            return scheduler.parse_submit(answer_of(result))
        except SchedulerError as error:
            never_ran = result.returncode in (COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE) and not result.timed_out
            if isinstance(error, SchedulerRejected) or never_ran:
                self._move(request, LaunchState.REJECTED, str(error), {}, evidence_of(result))
            else:
                self.store.batches.note(request.launch_id, str(error), evidence_of(result))
                self._let_polls_look(request)
            if never_ran:
                others = sorted({one.name for one in self.registry.schedulers()} - {scheduler.name})
                hint = f"; --scheduler may name another: {', '.join(others)}" if others else ""
                raise SchedulerUnavailable(f"{error}, which the scheduler {scheduler.name!r} needs{hint}") from error
            if isinstance(error, SchedulerRejected):
                raise SchedulerRejected(f"{scheduler.name} refused: {error}") from error
            unsure = (
                f"{error}; whether batch job {_number_of(request)} was queued is not known: `balsam ls queues` "
                "finds out, do not submit again before"
            )
            if isinstance(error, SchedulerNotUnderstood):
                raise SchedulerNotUnderstood(unsure, error.raw) from error
            raise SchedulerUnavailable(unsure) from error

    def _let_polls_look(self, request: BatchRequest) -> None:
        """The command is over: who polls shall look for the batch job, however long this process lives."""
        submitting = LaunchState.SUBMITTING
        self.store.batches.apply([Change(request.launch_id, submitting, submitting, "", {"submitter_pid": 0})])

    def _check_by_scheduler(self, scheduler: Scheduler, request: BatchRequest, text: str) -> str | None:
        """What the scheduler's own dry run says; None: it has none, or its command is not here."""
        path = self.site.qsubmit / f"dry-run-{request.launch_id}.sh"
        command = scheduler.submit_command(request, str(path), True)
        if command is None:
            return None
        try:
            path.write_bytes(_bytes(text))
            path.chmod(0o700)
            result = self.shell.run(command)
        finally:
            path.unlink(missing_ok=True)
        if result.returncode in (COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE) or result.timed_out:
            return None
        said = " ".join(f"{result.stdout} {result.stderr}".split())
        return said or ("accepted" if result.returncode == 0 else f"refused with exit code {result.returncode}")

    @contextlib.contextmanager
    def _rejected_on_error(self, request: BatchRequest) -> Iterator[None]:
        """A script that cannot be made is nothing that was submitted."""
        try:
            yield
        except (ConfigError, PluginError, OSError) as error:
            self._move(request, LaunchState.REJECTED, str(error), {}, None)
            raise

    def _move(
        self,
        request: BatchRequest,
        new: LaunchState,
        message: str,
        values: Mapping[str, object],
        evidence: Evidence | None,
    ) -> None:
        reason = {"reason": message} if new is LaunchState.REJECTED else {}
        change = Change(request.launch_id, LaunchState.SUBMITTING, new, message, {**values, **reason}, evidence)
        self.store.batches.apply([change])


def _submit_command(scheduler: Scheduler, request: BatchRequest, script: Path) -> Command:
    command = scheduler.submit_command(request, str(script), False)
    if command is None:
        raise ConfigError(f"the scheduler {scheduler.name!r} builds no submit command; its plugin is broken")
    return command


def _bytes(text: str) -> bytes:
    """A script in UTF-8, but for what the environment holds in another encoding."""
    return text.encode("utf-8", errors="surrogateescape")


def _number_of(request: BatchRequest) -> int:
    return int(request.tag.partition("-")[0].removeprefix("ql"))
