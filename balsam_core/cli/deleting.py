"""Deletes jobs and applications as `balsam rm` asks."""

from __future__ import annotations

import os

from balsam_core import job_files
from balsam_core.cli.apps import chosen_apps
from balsam_core.cli.asking import ask
from balsam_core.cli.context import Opened
from balsam_core.cli.output import print_lines, tell, warn
from balsam_core.cli.selection import NOTHING_FOUND, Chosen
from balsam_core.counting import counted
from balsam_core.deletion import delete_jobs as delete_from_store
from balsam_core.errors import JobSpecError
from balsam_core.state.hosts import machine_id
from balsam_core.state.machine import State
from balsam_core.state.store import Store


def delete_jobs(here: Opened, chosen: Chosen, *, with_files: bool, yes: bool) -> None:
    """Delete the chosen jobs, running ones after they were stopped. Raises JobSpecError for those that do not stop."""
    rows = here.store.listed(("job_id", "state", "launcher_id", "folder"), chosen.exact_filter(here.store))
    if not rows:
        print_lines([f"{NOTHING_FOUND}; nothing was deleted"])
        return
    running = sum(row.state == str(State.RUNNING) for row in rows)
    ask(_question(len(rows), running, with_files), yes=yes)
    if running:
        tell(f"stopping {counted(running, 'job')} ...")
    came = delete_from_store(
        here.store,
        [row.job_id for row in rows],
        [row.job_id for row in rows if row.launcher_id is not None],
        machine_id=machine_id(os.environ),
        message="balsam rm",
    )
    if with_files:
        folders = [row.folder for row in rows if row.job_id not in came.stubborn]
        job_files.delete(job_files.inside(here.site.data, folders, warn), warn)
    print_lines([f"Deleted {counted(came.deleted, 'job')}{' with files' if with_files else ''}"])
    if came.trouble:
        raise JobSpecError(came.trouble)


def delete_apps(store: Store, chosen: Chosen, *, yes: bool) -> None:
    """Delete the applications whose name or id was given; their jobs stay."""
    apps = chosen_apps(store, chosen)
    if not apps:
        print_lines(["No apps found matching query; nothing was deleted"])
        return
    ask(f"Delete {counted(len(apps), 'app')} ({', '.join(app.name for app in apps)})?", yes=yes)
    print_lines([f"Deleted {counted(store.delete_apps([app.name for app in apps]), 'app')}"])


def _question(count: int, running: int, with_files: bool) -> str:
    stop = f" after stopping {running} that run" if running else ""
    files = ", with their files" if with_files else ""
    return f"Delete {counted(count, 'job')}{stop}{files}?"
