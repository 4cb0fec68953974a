"""The master of the ranks: the launcher's loop over the workers of all nodes, under the launcher's lease."""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID

from balsam_core.errors import BalsamError, LaunchError
from balsam_core.launcher.loop import HasFileno, Loop, Rules
from balsam_core.launcher.messages import Report
from balsam_core.launcher.modes import SerialMode
from balsam_core.launcher.mpi_workers import MpiWorkers, RankLost
from balsam_core.launcher.plan import News, Plan, read_plan, reason_in
from balsam_core.launcher.ranks import MEETING_SECONDS, own_names
from balsam_core.launcher.sweep import LAUNCHER_VARIABLE, RANKS_VARIABLE
from balsam_core.launcher.transport import Transport
from balsam_core.launcher.worker_client import WorkerClient, clean_environment, first_messages
from balsam_core.models.nodes import Node
from balsam_core.opening import open_site
from balsam_core.site import Site
from balsam_core.transitions.recovery import journal_path
from balsam_core.workdirs import Workdirs

_NEWS_SECONDS = 1.0


def lead(transport: Transport, own: WorkerClient, plan_file: Path) -> None:
    """Work off jobs on all nodes until the launcher says that it is enough."""
    plan = read_plan(plan_file)
    # Before the ranks meet, which takes its time.
    rules = plan.own_rules()
    # As in `start.py`: a loop over thousands of jobs makes no cycles to speak of.
    gc.set_threshold(50_000)
    try:
        _lead(transport, own, plan, rules)
    except RankLost as error:
        _say(News(lost=str(error)))
        raise
    except BalsamError as error:
        _say(News(failed=str(error)))
        raise


def _lead(transport: Transport, own: WorkerClient, plan: Plan, rules: Rules) -> None:
    site = Site(rules.site, plan.environ)
    # Refuses an SQLite site when this is another machine than the launcher's.
    store = open_site(site, os.environ)
    store.database.keep_to_lease(rules.lease_seconds)
    control = Control()
    ranks = _meet(transport, plan.nodes, control)
    workers = MpiWorkers(transport, own, ranks, rules.lease_seconds)
    workers.configure(_first_messages(plan, rules))
    reporter = Reporter(observed=plan.observed)
    loop = Loop(
        store,
        SerialMode(plan.nodes, plan.workflow, rules.reuses_processes),
        workers,
        NoTransitions(),
        Workdirs(site.data),
        rules,
        reporter.show,
        reporter.notify,
        lambda: control,
    )
    why = loop.run()
    workers.end()
    transport.finish()
    _say(reporter.news(loop).model_copy(update={"ended": why}))


def ranks_of(nodes: Sequence[Node], names: Mapping[int, Sequence[str]]) -> list[int]:
    """For each node, the rank that runs on it; names: what each rank's node may be called.

    MPI launchers may sort the nodes that they are given. Where names do not tell, ranks count as the nodes do.
    """
    numbers = {_short(node.hostname): number for number, node in enumerate(nodes)}
    found: dict[int, int] = {}
    for rank, several in names.items():
        number = next((numbers[_short(name)] for name in several if _short(name) in numbers), None)
        if number is not None and number not in found:
            found[number] = rank
    return [found[number] for number in range(len(nodes))] if len(found) == len(nodes) else list(range(len(nodes)))


class Control:
    """The orders of the launcher, on standard input; at its end the launcher is gone, and this program with it."""

    def __init__(self) -> None:
        self._text = b""

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to undo: the program ends, too."""

    def fileno(self) -> int:
        """For a selector."""
        return sys.stdin.fileno()

    def read(self) -> None:
        """Take in what has come, without waiting; raises LaunchError when the launcher is gone."""
        os.set_blocking(self.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.fileno(), 1 << 16):
                self._text += chunk
            raise LaunchError("the launcher is gone")

    def reasons(self) -> Iterator[str]:
        """See `loop.Orders`."""
        self.read()
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            yield reason_in(line.decode())


class NoTransitions:
    """Staging and scripts are the launcher's; satisfies `loop.BetweenRuns`."""

    @property
    def busy(self) -> set[UUID]:
        """No job is worked on."""
        return set()

    @property
    def is_behind(self) -> bool:
        """Nothing to do."""
        return False

    def sources(self) -> Sequence[HasFileno]:
        """Nothing to watch."""
        return ()

    def fill(self) -> bool:
        """Nothing to do."""
        return False

    def record(self) -> bool:
        """Nothing to record."""
        return False

    def finish_staging(self) -> bool:
        """Nothing was staged."""
        return False

    def finish_script(self, report: Report) -> bool:
        """No report is about a script."""
        return False

    def give_up(self, job_ids: Iterable[UUID], grace_seconds: float) -> None:
        """No script runs."""


class Reporter:
    """Tells the launcher how it goes."""

    def __init__(self, *, observed: bool) -> None:
        self._observed = observed
        self._next = 0.0
        self._was_idle = False

    def show(self, loop: Loop) -> None:
        """Now and then, and at once when there is nothing to do."""
        now = time.monotonic()
        if now >= self._next or (loop.is_idle and not self._was_idle):
            self._next = now + _NEWS_SECONDS
            self._was_idle = loop.is_idle
            _say(self.news(loop))

    def news(self, loop: Loop) -> News:
        """The state of the loop."""
        tally = loop.tally
        return News(
            done=tally.done,
            failed_jobs=tally.failed,
            timed_out=tally.timed_out,
            started=tally.started,
            running=loop.running,
            idle=loop.is_idle,
        )

    def notify(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Events for the observers, which only the launcher has."""
        if self._observed:
            _say(News(events=tuple(dict(row) for row in rows)))


def _meet(transport: Transport, nodes: Sequence[Node], control: Control) -> list[int]:
    """Wait until every rank has said where it is; for each node its rank."""
    if transport.size != len(nodes):
        raise LaunchError(f"the MPI launcher started {transport.size} ranks for {len(nodes)} nodes; check [mpi] name")
    names = {0: own_names()}
    until = time.monotonic() + MEETING_SECONDS
    with selectors.DefaultSelector() as selector:
        while len(names) < transport.size:
            transport.wait(selector, 0.1)
            control.read()
            _say(News())
            for rank, messages in transport.receive():
                names[rank] = tuple(str(name) for name in messages[0][1:])
            if time.monotonic() > until:
                missing = [rank for rank in range(transport.size) if rank not in names]
                raise RankLost(f"ranks have not begun after {MEETING_SECONDS} s: {missing[:10]}")
    return ranks_of(nodes, names)


def _first_messages(plan: Plan, rules: Rules) -> dict[int, Sequence[tuple[object, ...]]]:
    marks = {LAUNCHER_VARIABLE: str(rules.launcher_id), RANKS_VARIABLE: os.environ[RANKS_VARIABLE]}
    environment = {**clean_environment(plan.environ), **marks}
    return {
        number: first_messages(
            node,
            environment,
            journal_path(rules.journals, rules.launcher_id, number),
            rules.seconds_for_jobs,
            rules.stop_grace_seconds,
        )
        for number, node in enumerate(plan.nodes)
    }


def _say(news: News) -> None:
    # A launcher that is gone hears nothing; the end of our input tells.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(news.line())
        sys.stdout.flush()


def _short(hostname: str) -> str:
    return hostname.partition(".")[0]
