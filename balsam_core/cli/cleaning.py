"""Frees disk space as `balsam clean` asks: only what belongs to jobs that have ended and that no other job needs."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.sql import ColumnElement, and_

from balsam_core import job_files
from balsam_core.cli.asking import ask
from balsam_core.cli.context import Opened, current_folder
from balsam_core.cli.output import print_lines, tell, warn
from balsam_core.cli.selection import Chosen
from balsam_core.counting import counted
from balsam_core.errors import ConfigError, InvalidState
from balsam_core.homes import expanded
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import END, State
from balsam_core.state.moves import words
from balsam_core.state.tables import dependencies, jobs


class Ended:
    """The jobs of a filter that ended before a moment (seconds since the epoch) and whose files nobody needs any more.

    A job finds links to its parents' files in its folder, and its children to those: all descendants must have ended.
    """

    def __init__(self, wanted: JobFilter, before: float) -> None:
        self._wanted = wanted
        self._before = before

    def where(self) -> ColumnElement[bool]:
        """The condition on the table of jobs."""
        unfinished = jobs.alias("unfinished")
        needed = (
            select(dependencies.c.parent_id)
            .join(unfinished, unfinished.c.job_id == dependencies.c.child_id)
            .where(unfinished.c.state.not_in(words(END)))
            .cte("needed", recursive=True)
        )
        above = dependencies.alias("above")
        needed = needed.union(select(above.c.parent_id).join(needed, needed.c.parent_id == above.c.child_id))
        free = and_(jobs.c.launcher_id.is_(None), jobs.c.job_id.not_in(select(needed.c.parent_id)))
        return and_(self._wanted.where(), jobs.c.state_at <= self._before, free)


def clean(here: Opened, chosen: Chosen, *, older_than_seconds: float, archive: Path | None, yes: bool) -> None:
    """Delete the folders of ended jobs, packed first if there is an archive. Raises InvalidState, ConfigError."""
    ended = Ended(_in_end_states(chosen.exact_filter(here.store)), time.time() - older_than_seconds)
    folders = list(job_files.inside(here.site.data, _folders(here, ended), warn))
    if not folders:
        print_lines(["No files of jobs that have ended; nothing was deleted"])
        return
    tell(f"measuring {counted(len(folders), 'folder')} ...")
    held = reduce(add, map(job_files.measure, folders), job_files.Held())
    file = None if archive is None else current_folder() / expanded(archive)
    if file is not None and not {folder.resolve() for folder in folders}.isdisjoint(file.resolve().parents):
        raise ConfigError(f"{file} lies in a folder that is to be deleted; give --archive another place")
    packing = f"Pack into {file}, then delete" if file else "Delete"
    ask(f"{packing} the files of {counted(len(folders), 'job')}: {held}?", yes=yes)
    # The answer may have taken long: what was started again meanwhile keeps its files.
    still = {here.site.data / folder for folder in _folders(here, ended)}
    folders = [folder for folder in folders if folder in still]
    before = reduce(add, map(job_files.measure, folders), job_files.Held())
    if file is not None:
        job_files.pack(here.site.data, folders, file)
    job_files.delete(folders, warn)
    left = reduce(add, map(job_files.measure, folders), job_files.Held())
    freed = job_files.Held(before.inodes - left.inodes, before.size - left.size)
    packed = f"; they are in {file}" if file else ""
    print_lines([f"Freed {freed}, the files of {counted(len(folders), 'job')}{packed}"])


def _in_end_states(wanted: JobFilter) -> JobFilter:
    states = wanted.states or (State.JOB_FINISHED,)
    for state in states:
        if state not in END:
            raise InvalidState(f"jobs in {state} have not ended; clean takes {', '.join(words(END))}")
    return replace(wanted, states=states)


def _folders(here: Opened, ended: Ended) -> list[str]:
    return [row.folder for row in here.store.listed(("folder",), ended)]
