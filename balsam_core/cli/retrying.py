"""Asks, sends failed jobs back, and says which went where."""

from __future__ import annotations

from collections.abc import Mapping

from balsam_core.cli.asking import ask
from balsam_core.cli.context import opened
from balsam_core.cli.output import print_lines
from balsam_core.cli.selection import NOTHING_FOUND, Chosen
from balsam_core.counting import counted
from balsam_core.state.machine import State
from balsam_core.state.retrying import Retries


def retry_jobs(chosen: Chosen, *, recursive: bool, yes: bool) -> None:
    """Send the chosen jobs back; asks unless they were named by their ids."""
    with opened() as here:
        wanted = chosen.exact_filter(here.store)
        retries = here.store.retries(wanted, recursive=recursive)
        if not retries.targets:
            counts = here.store.count_by_state(wanted)
            print_lines([f"{_nothing(counts, retries)}; nothing was changed"])
            return
        ask(f"Retry {counted(len(retries.targets), 'job')}: {where_to(retries)}?", yes=yes or chosen.only_ids)
        done = here.store.retry(wanted, recursive=recursive)
    print_lines([f"Sent {counted(len(done.targets), 'job')} back: {where_to(done)}", *_left(done)])


def where_to(retries: Retries) -> str:
    """Where the jobs go: `2 to RESTART_READY, 3 to AWAITING_PARENTS (3 failed because of others)`."""
    parts = ", ".join(f"{count} to {state}" for state, count in retries.counts().items())
    return f"{parts} ({retries.children} failed because of others)" if retries.children else parts


def _left(retries: Retries) -> list[str]:
    lines = []
    if retries.broken:
        lines.append(f"{counted(retries.broken, 'job')} left: a parent stays FAILED or USER_KILLED; retry that one")
    if retries.held:
        lines.append(f"{counted(retries.held, 'job')} left: a launcher works on them")
    return lines


def _nothing(counts: Mapping[State, int], retries: Retries) -> str:
    if left := _left(retries):
        return "; ".join(left)
    found = ", ".join(f"{count} {state}" for state, count in counts.items())
    return f"none of these has failed: {found}" if counts else NOTHING_FOUND
