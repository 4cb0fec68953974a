"""`make faults`: long schedules of faults, one kind of site after the other, and what they struck and checked."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests import helpers, postgres
from tests.conftest import mpiexec
from tests.faults.schedule import for_seconds, run_schedule

# What each is: nodes, and whether its database is on a PostgreSQL server.
KINDS = {"one node": (1, False), "three nodes": (3, False), "PostgreSQL": (1, True), "PostgreSQL, nodes": (2, True)}


def main() -> None:
    """Run schedules until the time is up; a violated promise ends it with its seed, and its files stay."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule; the next one's is one more")
    parser.add_argument("--schedule-seconds", type=float, default=60)
    parser.add_argument("--only", choices=KINDS, help="one kind of site instead of all")
    options = parser.parse_args()
    until = time.monotonic() + options.minutes * 60
    struck: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    seed = options.seed
    while time.monotonic() < until:
        for kind in [options.only] if options.only else _possible():
            if time.monotonic() < until:
                seconds = min(options.schedule_seconds, until - time.monotonic())
                _run(kind, seed, seconds, struck, checked)
                seed += 1
    _show("struck", struck)
    _show("checked", checked)


def _run(kind: str, seed: int, seconds: float, struck: Counter[str], checked: Counter[str]) -> None:
    nodes, on_postgres = KINDS[kind]
    folder = Path(tempfile.mkdtemp(prefix="balsam-faults-"))
    server = postgres.PostgresServer() if on_postgres else None
    try:
        if server:
            helpers.SERVER.append(server)
        found, faults = run_schedule(folder, seed, for_seconds(seconds), nodes=nodes, server=server)
    except BaseException:
        print(f"seed {seed}, {kind}: files in {folder}", file=sys.stderr)
        raise
    finally:
        if server:
            helpers.SERVER.pop()
            server.stop()
    print(f"seed {seed}, {kind}: {sum(faults.values())} faults, {found}", flush=True)
    struck.update(faults)
    checked.update(asdict(found))
    checked["schedules"] += 1


def _possible() -> list[str]:
    """The kinds of sites that this machine can have."""
    return [
        kind
        for kind, (nodes, on_postgres) in KINDS.items()
        if (nodes == 1 or mpiexec()) and not (on_postgres and postgres.why_not())
    ]


def _show(title: str, counts: Counter[str]) -> None:
    print(f"{title}: {sum(counts.values()) if title == 'struck' else ''}")
    for name, count in counts.most_common():
        print(f"  {count:6d}  {name.replace('_', ' ')}")


if __name__ == "__main__":
    main()
