"""One look at a site in words: heading lines, and tables of what is listed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from balsam_core.counting import counted
from balsam_core.models.job import Job
from balsam_core.monitoring.snapshot import Snapshot
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State

_BAR = 10
_SHOWN_FAILING = 5
_NARROWEST = 6
# A terminal may be narrower: these lines then are not.
_NARROWEST_HEADING = 20


class Part(str, Enum):
    """What a look can list."""

    JOBS = "jobs"
    LAUNCHERS = "launchers"
    NODES = "nodes"
    BATCH_JOBS = "batch jobs"
    FAILING = "failing"


@dataclass(frozen=True)
class Table:
    """Rows of words; keys: what each row is about, a job's id where there is one."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    keys: tuple[str, ...]


def heading(look: Snapshot, site: str, width: int = 80) -> list[str]:
    """Five or six lines: where, when and what is looked at, states, rate, utilization, what fails."""
    width = max(width, _NARROWEST_HEADING)
    title = f"balsam top  {site}  {chosen(look.view.wanted)}".rstrip()
    when = f"{_utc(look.at):%H:%M:%S} UTC"
    lines = [f"{_cut(title, width - len(when) - 1):{width - len(when)}}{when}"]
    lines += textwrap.wrap(_states(look), width, subsequent_indent="  ")
    return [*(_cut(line, width) for line in [*lines, _rate(look), _use(look), _failing(look)] if line)]


def chosen(wanted: JobFilter) -> str:
    """A filter as it would be typed: `--wf scan --state FAILED`."""
    words = [f"--name {wanted.name}"] if wanted.name else []
    words += [f"--id {part}" for part in wanted.ids]
    words += [f"--wf {wanted.workflow}"] if wanted.workflow else []
    words += [f"--state {','.join(state.value for state in wanted.states)}"] if wanted.states else []
    words += [f"--tag {key}={value}".rstrip("=") for key, value in wanted.tags.items()]
    return " ".join(words)


def table(look: Snapshot, part: Part) -> Table:
    """What a look lists of one part."""
    return _TABLES[part](look)


def history(job: Job, events: Iterable[Any]) -> str:
    """A job and its moves, oldest first; events: rows of the table `events`."""
    where = f", on {job.node}" if job.node else ""
    lines = [
        f"Job {job.name} [{job.job_id}]",
        f"workflow {job.workflow}, application {job.application}, args {job.args!r}",
        f"{job.state}, attempt {job.attempt}{where}",
        "",
    ]
    for event in events:
        lines.append(f"{_utc(event.at):%Y-%m-%d %H:%M:%S} {event.to_state}")
        lines += [f"    {line}" for line in event.message.splitlines()]
    return "\n".join([*lines, "", f"Why it is there: balsam explain {str(job.job_id)[:8]}"])


def duration(seconds: float) -> str:
    """How long, in one unit or two: `5s`, `3m`, `2h10m`, `4d3h`."""
    whole = int(max(0.0, seconds))
    if whole < 60:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes}m"
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60}m"
    return f"{minutes // 1440}d{minutes // 60 % 24}h"


def fitted(wide: Table, width: int, gap: int = 2) -> tuple[Table, list[int]]:
    """The table with its widest columns cut until it fits into so many characters, and the widths of its columns."""
    widths = [max(map(len, column)) for column in zip(wide.headers, *wide.rows, strict=True)]
    while sum(widths) + gap * len(widths) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    rows = tuple(tuple(_cut(cell, most) for cell, most in zip(row, widths, strict=True)) for row in wide.rows)
    return Table(wide.headers, rows, wide.keys), widths


def printable(text: str) -> str:
    """Text that does nothing to a terminal: what cannot be printed is left out, line ends and tabs stay."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def _states(look: Snapshot) -> str:
    total = sum(look.jobs.states.values())
    if not total:
        return "no jobs" if look.view.wanted.matches_all else "no jobs match the filter"
    return f"{counted(total, 'job')}: {_counts(look.jobs.states)}"


def _rate(look: Snapshot) -> str:
    ended = f" ({_counts(look.rate.ended)} in {look.rate.seconds:.0f} s)" if look.rate.ended else ""
    return f"rate: {look.rate.per_minute:.0f} jobs ended a minute{ended}"


def _use(look: Snapshot) -> str:
    live = sum(one.status == "live" for one in look.launchers)
    words = [
        f"launchers: {live} live" + (f", {len(look.launchers) - live} expired" if live < len(look.launchers) else "")
    ]
    if look.nodes_held:
        words.append(
            f"nodes: {look.nodes_busy:.1f} of {look.nodes_held} busy {_bar(look.nodes_busy / look.nodes_held)}"
        )
    counts: dict[str, int] = {}
    for one in look.batch_jobs:
        counts[one.state] = counts.get(one.state, 0) + 1
    words.append(f"batch jobs: {_counts(counts) or 'none'}")
    return "  ".join(words)


def _failing(look: Snapshot) -> str:
    most = look.jobs.failing[:_SHOWN_FAILING]
    sign = "" if look.jobs.failing_known else " or more"
    return "failing: " + ", ".join(f"{one.application} {one.jobs}{sign}" for one in most) if most else "failing: none"


def _jobs(look: Snapshot) -> Table:
    page = look.jobs.page
    rows = (
        (
            str(one.job_id)[:8],
            one.name,
            one.workflow,
            one.application,
            one.state,
            duration(look.at - one.state_at),
            one.node,
        )
        for one in page
    )
    headers = ("job_id", "name", "workflow", "application", "state", "for", "node")
    return _table(headers, rows, [str(one.job_id) for one in page])


def _launchers(look: Snapshot) -> Table:
    rows = (
        (
            str(one.launcher_id)[:8],
            one.host,
            one.batch_job_id or "-",
            f"{one.busy:.1f}/{one.nodes}",
            str(one.running),
            str(one.held),
            str(one.jobs_done),
            duration(look.at - one.started_at),
            one.job_mode,
            one.workflow or "(all)",
            one.status,
        )
        for one in look.launchers
    )
    headers = ("id", "host", "batch", "busy", "run", "wait", "done", "for", "mode", "workflow", "status")
    return _table(headers, rows, [str(one.launcher_id) for one in look.launchers])


def _nodes(look: Snapshot) -> Table:
    rows = (
        (one.node or "-", str(one.launcher_id)[:8], str(one.running), f"{one.busy:.2f}", _bar(one.busy))
        for one in look.nodes
    )
    keys = [f"{one.launcher_id} {one.node}" for one in look.nodes]
    return _table(("node", "launcher", "running", "busy", ""), rows, keys)


def _batch_jobs(look: Snapshot) -> Table:
    rows = (
        (
            str(one.number),
            one.name,
            one.state,
            one.queue,
            str(one.nodes),
            str(one.time_limit_minutes),
            "" if one.minutes_left is None else f"{one.minutes_left:.0f}",
            str(one.jobs_done),
            ": ".join(words for words in (one.raw_state, one.reason) if words),
            "never" if one.seen_at is None else f"{duration(look.at - one.seen_at)} ago",
        )
        for one in look.batch_jobs
    )
    headers = ("no", "batch job", "state", "queue", "nodes", "min", "left", "done", "scheduler says", "seen")
    return _table(headers, rows, [str(one.number) for one in look.batch_jobs])


def _failing_apps(look: Snapshot) -> Table:
    failing = look.jobs.failing
    sign = "" if look.jobs.failing_known else "+"
    rows = ((one.application, f"{one.jobs}{sign}", str(one.job_id)[:8], _last_line(one.message)) for one in failing)
    return _table(("application", "failed", "newest", "why"), rows, [str(one.job_id) for one in failing])


def _table(headers: tuple[str, ...], rows: Iterable[Sequence[str]], keys: Sequence[str]) -> Table:
    return Table(headers, tuple(tuple(_one_line(cell) for cell in row) for row in rows), tuple(keys))


def _counts(counts: Mapping[State, int] | Mapping[str, int]) -> str:
    return ", ".join(f"{count} {key.value if isinstance(key, State) else key}" for key, count in counts.items())


def _bar(part: float) -> str:
    full = round(min(1.0, part) * _BAR)
    return f"[{'#' * full}{'.' * (_BAR - full)}]"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{lines[0]} ... {lines[-1]}" if len(lines) > 1 else "".join(lines)


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}~"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


_TABLES = {
    Part.JOBS: _jobs,
    Part.LAUNCHERS: _launchers,
    Part.NODES: _nodes,
    Part.BATCH_JOBS: _batch_jobs,
    Part.FAILING: _failing_apps,
}
