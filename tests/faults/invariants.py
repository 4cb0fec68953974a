"""What must hold after any faults, judged by the database, the process table, and what the jobs themselves wrote down.

Each job writes a line per start and end of an attempt into `runs` in its folder, and `overlap` when another attempt of
it was still alive: see `world.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psutil

from tests.integration.launching import Site

# Of all launchers that faults strike.
LEASE_SECONDS = 3.0


@dataclass(frozen=True)
class Checked:
    """How much was looked at."""

    jobs: int
    attempts: int
    taken_back: int


def check(site: Site, jobs: Sequence[UUID], *, cut_off: bool = False) -> Checked:
    """Raise AssertionError with every violation; cut_off: a host was out of reach, so attempts may have overlapped."""
    rows = site.store.history(jobs)
    histories: dict[UUID, list[Any]] = {job: [] for job in jobs}
    for row in rows:
        histories[row.job_id].append(row)
    wrong = [*_lost(site, jobs), *_left_over(site)]
    for job, history in histories.items():
        found = [*_broken_chain(history), *_broken_attempts(history), *_unlike(history, runs(site, job))]
        found += [] if cut_off else _overlaps(runs(site, job))
        found += _too_early(history)
        wrong += [f"{what}\n{site.story(job)}" for what in found]
    assert not wrong, "\n\n".join(wrong[:5])
    attempts = sum(row.to_state == "RUNNING" for row in rows)
    taken_back = sum((row.from_state, row.to_state) == ("RUNNING", "RESTART_READY") for row in rows)
    return Checked(len(jobs), attempts, taken_back)


def runs(site: Site, job: UUID) -> list[tuple[str, int]]:
    """What the job wrote down: (`start`, `end` or `overlap`, attempt)."""
    file = site.workdir(job) / "runs"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(word, int(attempt)) for word, attempt in (line.split() for line in lines)]


def processes_of(site: Site) -> list[psutil.Process]:
    """Everything alive that a launcher of the site started: its environment names the site."""
    found = []
    for one in psutil.process_iter():
        try:
            named = one.environ().get("BALSAM_DB_PATH") == str(site.folder)
            if named and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except psutil.Error:
            continue
    return found


def _lost(site: Site, jobs: Sequence[UUID]) -> Iterator[str]:
    there = {job.job_id: job for job in site.store.jobs()}
    if missing := set(jobs) - there.keys():
        yield f"{len(missing)} jobs are gone: {missing}"
    unfinished = Counter(str(job.state) for job in there.values() if job.state != "JOB_FINISHED")
    if unfinished:
        example = next(job.job_id for job in there.values() if job.state != "JOB_FINISHED")
        yield f"not all ended well: {unfinished}\n{site.story(example)}"
    if held := [job.job_id for job in there.values() if job.launcher_id]:
        yield f"held by launchers that have ended: {held}"


def _left_over(site: Site) -> Iterator[str]:
    if left := processes_of(site):
        yield f"processes are left: {[(one.pid, one.cmdline()) for one in left]}"
    if live := site.store.launchers():
        yield f"leases are left: {live}"
    if files := [file.name for kind in ("*.starts", "*.plan.json") for file in (site.folder / "log").glob(kind)]:
        yield f"files are left: {files}"


def _broken_chain(history: Sequence[Any]) -> Iterator[str]:
    if [row.from_state for row in history[1:]] != [row.to_state for row in history[:-1]]:
        yield "an event leaves another state than the one that was reached"


def _broken_attempts(history: Sequence[Any]) -> Iterator[str]:
    started = [row.attempt for row in history if row.to_state == "RUNNING"]
    if started != list(range(1, len(started) + 1)):
        yield f"attempts are not counted one by one: {started}"
    ends = Counter(row.attempt for row in history if row.from_state == "RUNNING")
    if ends != Counter(started):
        yield f"attempts that did not end exactly once: {ends} of {started}"
    done = [row.attempt for row in history if row.to_state == "RUN_DONE"]
    if done != started[-1:]:
        yield f"not the last attempt alone is done: {done} of {started}"


def _too_early(history: Sequence[Any]) -> Iterator[str]:
    """Where a launcher was declared dead for its silence before its lease was over."""
    for row in history:
        silence = re.search(r"no heartbeat for (\d+) s", row.message or "")
        if silence and int(silence[1]) < LEASE_SECONDS:
            yield f"a lease of {LEASE_SECONDS:g} s ended after {silence[1]} s of silence"


def _unlike(history: Sequence[Any], written: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Where what was executed and what was recorded differ."""
    recorded = {row.attempt for row in history if row.to_state == "RUNNING"}
    counted = Counter(written)
    started = [attempt for word, attempt in written if word == "start"]
    if unknown := set(started) - recorded:
        yield f"attempts ran that the history does not have: {unknown}"
    if twice := [line for line, count in counted.items() if count > 1]:
        yield f"one attempt was executed twice: {twice}"
    for row in history:
        if row.to_state == "RUN_DONE" and not (counted["start", row.attempt] and counted["end", row.attempt]):
            yield f"a result was recorded for attempt {row.attempt}, which did not run to its end"


def _overlaps(written: Sequence[tuple[str, int]]) -> Iterator[str]:
    if attempts := [attempt for word, attempt in written if word == "overlap"]:
        yield f"attempts began while another one was alive: {attempts}"
