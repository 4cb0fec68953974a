"""Does the work between two states, so many at a time: local files in threads, scripts and transfers by the worker."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

from balsam_core.errors import JobSpecError
from balsam_core.launcher.messages import Bound, Ended, How, Recalled, Refused, Report, Task
from balsam_core.launcher.worker_client import WorkerClient
from balsam_core.models.job import Job
from balsam_core.state.advance import PAGE
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from balsam_core.transitions.copying import LOG
from balsam_core.transitions.persistence import Limits
from balsam_core.transitions.scripts import Script, begin_log, script_of
from balsam_core.transitions.staging import stage_in, stage_out
from balsam_core.transitions.staging_program import FAILED, TRANSFERS, Request, last_line, summary, transfer_of
from balsam_core.transitions.threads import FileThreads
from balsam_core.transitions.urls import StagingError, Way, way_of
from balsam_core.workdirs import Workdirs

_log = logging.getLogger(__name__)
# Of a hundred thousand new jobs the first few run while the others move on.
_FIRST_PAGE = 200
_KINDS = frozenset({"preprocess", "postprocess"}) | TRANSFERS


@dataclass
class Transitions:
    """The transitions of one launcher; `fill` starts work, the other methods learn how it ended.

    script_environ: what a script's job adds to the launcher's own environment. is_behind: more jobs are new than one
    `fill` moves on, or work could not even begin, which the next one records.
    """

    store: Store
    launcher_id: UUID
    worker: WorkerClient
    workdirs: Workdirs
    script_environ: Callable[[Job], Mapping[str, str]]
    workflow: str
    at_once: int
    script_timeout_seconds: float
    staging: Limits
    is_behind: bool = False
    _page: int = _FIRST_PAGE
    _busy: dict[UUID, tuple[Job, Script | None]] = field(default_factory=dict)
    _after: dict[UUID, Callable[[], str]] = field(default_factory=dict)
    _claimed: deque[Job] = field(default_factory=deque)
    _outcomes: deque[tuple[Job, State | None, str]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._threads: FileThreads[UUID] = FileThreads(self.at_once)

    def fileno(self) -> int:
        """For a selector: readable when a thread has finished."""
        return self._threads.fileno()

    def sources(self) -> Sequence[Transitions]:
        """What a selector must watch for it."""
        return (self,)

    @property
    def busy(self) -> set[UUID]:
        """The jobs that are being worked on."""
        return set(self._busy)

    def fill(self) -> bool:
        """Move on all jobs that can, and start work on those that need it; whether anything was done."""
        recorded = self.record()
        moved = self.store.advance(self.workflow, self._page)
        is_full, self._page = moved >= self._page, PAGE
        room = self.at_once - len(self._busy)
        claimed = self.store.claim_work(self.launcher_id, self.workflow, room) if room > 0 else []
        self._busy.update((job.job_id, (job, None)) for job in claimed)
        self._claimed += claimed
        while self._claimed:
            self._begin(self._claimed[0])
            self._claimed.popleft()
        self.is_behind = is_full or bool(self._outcomes)
        return bool(recorded or moved or claimed)

    def finish_staging(self) -> bool:
        """Take what the threads have finished; whether there was anything."""
        found = False
        for outcome in self._threads.outcomes():
            found = True
            job, _ = self._busy[outcome.key]
            error = outcome.error
            if error is None:
                self._finish(job, State.STAGED_IN if job.state is State.READY else State.JOB_FINISHED, outcome.text)
            elif isinstance(error, StagingError):
                self._finish(job, State.FAILED, str(error))
            else:
                _log.error("job %s: staging failed in a way that was not foreseen", job.cute_id, exc_info=error)
                self._finish(job, State.FAILED, f"staging failed: {error!r}")
        return found

    def finish_script(self, report: Report) -> bool:
        """Take a worker's report if it is about a script; whether it was."""
        keys = report.keys if isinstance(report, Recalled) else (report.key,)
        scripts = [job_id for job_id, _, kind in (key.partition(".") for key in keys) if kind in _KINDS]
        for job_id in scripts:
            busy = self._busy.get(UUID(job_id))
            if busy is not None and busy[1] is not None:
                self._take(busy[0], busy[1], report)
        return bool(scripts)

    def give_up(self, job_ids: Iterable[UUID], grace_seconds: float) -> None:
        """Stop the scripts of these jobs: they were moved, killed or deleted by somebody else."""
        keys = [f"{job_id}.{busy[1].kind}" for job_id in job_ids if (busy := self._busy.get(job_id)) and busy[1]]
        if keys:
            self.worker.kill(keys, grace_seconds)

    def _begin(self, job: Job) -> None:
        try:
            script = script_of(job, self.store.app(job.application))
            if script is not None:
                self._begin_script(job, script)
            elif job.state is State.READY:
                self._begin_stage_in(job)
            elif job.state is State.POSTPROCESSED:
                self._begin_stage_out(job)
            else:
                # Its application lost the script meanwhile: the next `fill` moves it on.
                self._finish(job, None)
        except (JobSpecError, StagingError) as error:
            self._finish(job, State.FAILED, str(error))
        except OSError as error:
            # A full disk is found when the log is written: then the error names no file.
            where = error.filename or self.workdirs.of(job)
            self._finish(job, State.FAILED, f"cannot write in its working directory: {error.strerror}: {where}")
        except UnicodeEncodeError as error:
            letter = error.object[error.start]
            self._finish(job, State.FAILED, f"the launcher's locale has no letter {letter!r}; use one with UTF-8")

    def _begin_stage_in(self, job: Job) -> None:
        workdir, url = self.workdirs.of(job), job.stage_in_url
        parents = {parent: self.workdirs.of(found) for parent, found in self._parents(job).items()}
        rest = partial(_staged_in, workdir, job.input_files, parents)
        if not url or way_of(url) is Way.LOCAL:
            self._threads.submit(job.job_id, partial(rest, url))
        else:
            self._after[job.job_id] = partial(rest, "")
            self._begin_script(job, transfer_of("stage_in", Request(str(workdir), url, None, self.staging)))

    def _begin_stage_out(self, job: Job) -> None:
        workdir, url, patterns = self.workdirs.of(job), job.stage_out_url, job.stage_out_files
        if way_of(url) is Way.LOCAL:
            self._threads.submit(job.job_id, partial(_staged_out, workdir, url, patterns))
        else:
            self._after[job.job_id] = partial(last_line, workdir / LOG)
            self._begin_script(job, transfer_of("stage_out", Request(str(workdir), url, patterns, self.staging)))

    def _begin_script(self, job: Job, script: Script) -> None:
        self._busy[job.job_id] = (job, script)
        workdir = self.workdirs.of(job)
        begin_log(workdir, script)
        task = Task(
            key=f"{job.job_id}.{script.kind}",
            argv=script.argv,
            cwd=str(workdir),
            output=script.log,
            env=script.environ if script.kind in TRANSFERS else {**self.script_environ(job), **script.environ},
            bound=Bound(),
            timeout_seconds=self._limit_seconds(script),
        )
        self.worker.start([task])

    def _take(self, job: Job, script: Script, report: Report) -> None:
        if isinstance(report, Refused):
            self._finish(job, State.FAILED, script.failure(f"could not be started ({report.reason})"))
        elif isinstance(report, Recalled):
            # Killed before it began: as below.
            self._finish(job, None)
        elif isinstance(report, Ended):
            self._finish_ended(job, script, report)

    def _finish_ended(self, job: Job, script: Script, report: Ended) -> None:
        if report.how is How.TIMED_OUT:
            what = f"was stopped after its time limit of {self._limit_seconds(script):g} s"
            self._finish(job, State.FAILED, script.failure(what, report.tail))
        elif report.how is How.KILLED:
            # Ours: the launcher ends, or the job is no longer ours. It stays as it is.
            self._finish(job, None)
        elif script.kind in TRANSFERS and report.code == FAILED:
            self._finish(job, State.FAILED, report.tail.rstrip().rpartition("\n")[2] or script.failure("failed"))
        elif report.code != 0:
            self._finish(job, State.FAILED, script.failure(f"ended with exit code {report.code}", report.tail))
        elif script.kind in TRANSFERS:
            self._busy[job.job_id] = (job, None)
            self._threads.submit(job.job_id, self._after[job.job_id])
        elif script.target is not None:
            self._finish(job, script.target)
        else:
            self._finish(job, State.FAILED, f"the handler did not move the job out of {job.state}")

    def _limit_seconds(self, script: Script) -> float:
        return self.staging.timeout_seconds if script.kind in TRANSFERS else self.script_timeout_seconds

    def _finish(self, job: Job, target: State | None, message: str = "") -> None:
        # A file may have a name that is no UTF-8, and no database takes that.
        self._outcomes.append((job, target, message.encode(errors="backslashreplace").decode()))

    def record(self) -> bool:
        """Record what has ended, without starting anything; whether there was anything."""
        recorded = bool(self._outcomes)
        # One that the database cannot take now stays in the queue, and its job busy.
        while self._outcomes:
            job, target, message = self._outcomes[0]
            if target is None or not self.store.finish_work(self.launcher_id, job, target, message):
                self.store.give_back(self.launcher_id, [job.job_id])
            self._outcomes.popleft()
            self._busy.pop(job.job_id, None)
            self._after.pop(job.job_id, None)
        return recorded

    def _parents(self, job: Job) -> dict[UUID, Job]:
        return self.store.jobs_by_id(self.store.parents(job.job_id))


def _staged_in(workdir: Path, patterns: str, parents: Mapping[UUID, Path], url: str) -> str:
    stage_in(workdir, url=url, patterns=patterns, parents=parents)
    return ""


def _staged_out(workdir: Path, url: str, patterns: str) -> str:
    return summary(stage_out(workdir, url=url, patterns=patterns), url, patterns)
