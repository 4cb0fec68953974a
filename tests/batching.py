"""A scheduler that tests play: answers are set by hand, commands are noted, and nothing is run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest

from balsam_core.batch.asking import Shell
from balsam_core.batch.polling import Poller
from balsam_core.batch.submission import Submission, Wanted
from balsam_core.errors import SchedulerNotUnderstood, SchedulerRejected, SchedulerUnavailable
from balsam_core.models.batch import BatchJob, BatchRequest, Change, Evidence, LaunchState, Pilot
from balsam_core.plugins import (
    BatchEvent,
    BatchRecord,
    BatchState,
    BatchStatus,
    Command,
    CommandResult,
    Scheduler,
    StatusReport,
    hookimpl,
)
from balsam_core.plugins.registry import Registry, load_registry
from balsam_core.settings import Settings
from balsam_core.site import Site
from balsam_core.state.store import Store
from tests.helpers import MACHINE, make_request

LEASE_SECONDS = 90.0
GRACE_SECONDS = 30.0


class PlayedScheduler(Scheduler):
    """`playsub`, `playstat`, `playfind`, `playpast`, `playdel`; ids and states are printed one pair a line."""

    name = "played"
    template = "balsam_templates:_launch.sh.j2"
    job_id_variable = "PLAYED_JOB_ID"
    min_poll_seconds = 10.0
    grace_seconds = GRACE_SECONDS
    runs_here = True

    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        return Command(("playsub", *(["--check"] if dry_run else []), request.tag, script, *request.sched_flags))

    def parse_submit(self, result: CommandResult) -> str:
        words = _answered(result).split()
        if not words:
            raise SchedulerNotUnderstood("no id", result.stdout)
        return words[0]

    def status_command(self, ids: Sequence[str], user: str) -> Command:
        return Command(("playstat", *ids))

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        rows = [line.split(" ", 1) for line in _answered(result).splitlines()]
        unreadable = tuple(" ".join(row) for row in rows if len(row) < 2)
        return StatusReport({row[0]: status(row[1]) for row in rows if len(row) == 2 and row[0] in ids}, unreadable)

    def find_command(self, tag: str, user: str) -> Command | None:
        return Command(("playfind", tag))

    def parse_find(self, result: CommandResult) -> str | None:
        return _answered(result).strip() or None

    def history_commands(self, records: Sequence[BatchRecord]) -> Sequence[Command]:
        return [Command(("playpast", *(record.id for record in records)))]

    def parse_history(self, records: Sequence[BatchRecord], results: Sequence[CommandResult]) -> StatusReport:
        return self.parse_status([record.id for record in records], results[0])

    def cancel_command(self, ids: Sequence[str]) -> Command:
        return Command(("playdel", *ids))

    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        return frozenset(_answered(result).split()) & frozenset(ids)


def status(word: str) -> BatchStatus:
    """A status in that word's state; one that is no BatchState is UNKNOWN."""
    known = word in BatchState.__members__
    return BatchStatus(BatchState[word] if known else BatchState.UNKNOWN, word.lower())


@dataclass(frozen=True)
class PlayedShell(Shell):
    """Answers by the command's name: a text, or a whole result; what was asked is noted in `asked`."""

    environ: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 1.0
    answers: dict[str, str | CommandResult] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, command: Command) -> CommandResult:
        self.asked.append(command.argv)
        answer = self.answers.get(command.argv[0], "")
        return CommandResult(command.argv, 0, answer) if isinstance(answer, str) else answer


@dataclass
class Played:
    """A site with the scheduler `played`, its shell, and the clock of its leases, which the test moves."""

    site: Site
    store: Store
    registry: Registry
    shell: PlayedShell
    events: list[BatchEvent]
    settings: Settings = field(default_factory=Settings)
    clock: float = 1000.0

    def submit(self, **fields: Any) -> BatchJob:
        """Submit one batch job; our record of it."""
        wanted = Wanted(**{"nodes": 1, "time_limit_minutes": 10, "job_mode": "serial", "scheduler": "played", **fields})
        done = self.submission().submit(wanted)
        return self.job(done.number)

    def submission(self) -> Submission:
        return Submission(self.site, self.store, self.settings, self.registry, self.shell)

    def poller(self) -> Poller:
        return Poller(self.store, self.registry, self.shell, MACHINE, LEASE_SECONDS)

    def poll(self, seconds_later: float = 0.0) -> dict[str, str]:
        """Ask again, so many seconds later."""
        self.clock += seconds_later
        return self.poller().refresh()

    def job(self, number: int = 1) -> BatchJob:
        return self.store.batches.find(str(number), MACHINE)

    def moves(self, number: int = 1) -> list[tuple[str, str, str]]:
        """The history of a batch job: from, to, message."""
        rows = self.store.batches.history([self.job(number).launch_id])
        return [(row.from_state, row.to_state, row.message) for row in rows]


def played_site(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Played:
    """A site whose schedulers are played."""
    seen: list[BatchEvent] = []

    def balsam_batch_events(events: Sequence[BatchEvent]) -> None:
        seen.extend(events)

    module = ModuleType("balsam_test_played")
    vars(module)["balsam_schedulers"] = hookimpl(lambda: [PlayedScheduler()])
    vars(module)["balsam_batch_events"] = hookimpl(balsam_batch_events)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("BALSAM_MACHINE_ID", MACHINE)
    registry = load_registry(entry_points=[EntryPoint("played", module.__name__, "balsam.plugins")])
    shell = PlayedShell(environ={"BALSAM_MACHINE_ID": MACHINE})
    shell.answers["playsub"] = "7\n"
    played = Played(Site(folder), store, registry, shell, seen)
    monkeypatch.setattr(type(store.database), "lease_clock", lambda self, tx: played.clock)
    monkeypatch.setattr(type(store.database), "served_since", lambda self, tx: 0.0)
    return played


def put_batch_job(store: Store, evidence: Evidence, scheduler_id: str = "4711", **fields: object) -> UUID:
    """A batch job that the scheduler `slurm` has taken, as its answer shows; its launch id."""
    launch_id = uuid4()
    asked = {"launch_id": launch_id, "tag": f"ql-{launch_id}", **fields}
    store.batches.record("slurm", MACHINE, lambda number: make_request(**asked), lambda in_queue: None)
    ids = {"scheduler_id": scheduler_id}
    taken = Change(launch_id, LaunchState.SUBMITTING, LaunchState.QUEUED, "submitted", ids, evidence)
    assert store.batches.apply([taken]) == [taken]
    return launch_id


def make_batch_job(state: LaunchState = LaunchState.QUEUED, **fields: Any) -> BatchJob:
    """A record that is in no database."""
    given: dict[str, Any] = {
        "number": 1,
        "launch_id": uuid4(),
        "tag": "ql1-00000000",
        "scheduler": "played",
        "scheduler_id": "7",
        "state": state,
        "batch_state": "",
        "raw_state": "",
        "reason": "",
        "nodes": 1,
        "time_limit_minutes": 10,
        "queue": None,
        "project": None,
        "job_mode": "serial",
        "wf_filter": None,
        "workdir": "/site/qsubmit",
        "output_prefix": "/site/qsubmit/qlaunch1",
        "created_at": 1.0,
        "state_at": 1.0,
        "seen_at": None,
        "absent_since": None,
        "seconds_left": None,
        "exit_code": None,
        "cancelled": False,
        "submitting": False,
        "pilot": None,
    }
    return BatchJob(**{**given, **fields})


def live_pilot(**fields: Any) -> Pilot:
    """A launcher at work."""
    return Pilot(**{"live": True, "in_order": False, "reason": "", "jobs_done": 0, **fields})


def ended_pilot(**fields: Any) -> Pilot:
    """A launcher that ended by itself."""
    return Pilot(**{"live": False, "in_order": True, "reason": "nothing more can run", "jobs_done": 3, **fields})


def dead_pilot(**fields: Any) -> Pilot:
    """A launcher whose lease is over."""
    return Pilot(**{"live": False, "in_order": False, "reason": "no heartbeat for 91 s", "jobs_done": 3, **fields})


def _answered(result: CommandResult) -> str:
    said = result.stderr or f"exit code {result.returncode}"
    if result.returncode == 1:
        raise SchedulerRejected(said)
    if result.returncode == 2:
        raise SchedulerUnavailable(said)
    if result.returncode:
        raise SchedulerNotUnderstood("unreadable", result.stdout)
    return result.stdout
