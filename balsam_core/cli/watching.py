"""Shows what a site does, as `balsam top` asks: once as text, or live on the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict
from datetime import datetime, timezone

from balsam_core.cli.context import Opened
from balsam_core.cli.output import print_json, print_lines, print_table
from balsam_core.errors import ConfigError
from balsam_core.models.listings import LookListing
from balsam_core.monitoring.reading import read_snapshot
from balsam_core.monitoring.snapshot import Snapshot, View
from balsam_core.monitoring.text import Part, heading, table
from balsam_core.state.filters import JobFilter
from balsam_core.state.hosts import machine_id


def print_look(here: Opened, wanted: JobFilter, limit: int, *, as_json: bool) -> None:
    """One look as text, in which what is empty is left out; or as JSON."""
    look = read_snapshot(here.store, View(wanted, rows=limit), machine_id(os.environ))
    if as_json:
        print_json(_listing(look))
        return
    print_lines(heading(look, str(here.site.path), shutil.get_terminal_size().columns))
    for part in (Part.LAUNCHERS, Part.NODES, Part.BATCH_JOBS, Part.FAILING, Part.JOBS):
        listed = table(look, part)
        if listed.rows:
            print_lines(["", f"{part.value}:"])
            print_table(listed.headers, listed.rows)
    if (shown := len(look.jobs.page)) < look.jobs.total:
        print_lines([f"({shown} of {look.jobs.total} jobs)"])


def _listing(look: Snapshot) -> LookListing:
    return LookListing(
        at=datetime.fromtimestamp(look.at, timezone.utc),
        states=dict(look.jobs.states),
        total=look.jobs.total,
        ended=dict(look.rate.ended),
        rate_seconds=look.rate.seconds,
        ended_per_minute=look.rate.per_minute,
        nodes_held=look.nodes_held,
        nodes_busy=look.nodes_busy,
        launchers=[asdict(one) for one in look.launchers],
        nodes=[asdict(one) for one in look.nodes],
        batch_jobs=[asdict(one) for one in look.batch_jobs],
        failing=[asdict(one) for one in look.jobs.failing],
        failing_known=look.jobs.failing_known,
        jobs=[asdict(one) for one in look.jobs.page],
    )


def check_terminal() -> None:
    """Raise ConfigError unless there is a terminal and what draws on it."""
    try:
        import textual  # noqa: F401  # only whether it is there
    except ImportError:
        raise ConfigError(
            "balsam top needs textual, which is not installed; install it with `pip install 'balsam-core[top]'`, "
            "or use `balsam top --once`"
        ) from None
    # textual draws on stderr.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise ConfigError("balsam top needs a terminal; `balsam top --once` prints one look")


def watch(here: Opened, wanted: JobFilter, interval_seconds: float) -> None:
    """Look at the site until the user leaves."""
    from balsam_core.cli.screen import TopApp

    TopApp(here, wanted, interval_seconds).run()
