"""A site for tests of the Python API, on either database, and jobs that end without a launcher."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from balsam_core import Site, State, call
from balsam_core.api.calls import CallFiles
from balsam_core.site import create_site
from balsam_core.state.database import Database
from balsam_core.state.filters import JobFilter
from balsam_core.state.jobs import job_folder
from balsam_core.state.store import Store
from tests.helpers import only, temporary_store


class PlayedSite:
    """A site as programs use it (`site`), and the store of another program that plays launcher (`store`)."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        made: list[Store] = []
        create_site(folder, lambda site: made.append(temporary_store(site.path)))
        self.store = made[0]
        if self.store.database.serves_many_hosts:
            monkeypatch.setenv("BALSAM_SITE__DATABASE", _url(self.store.database))
        self.site = Site(folder)

    def end(self, job_id: UUID, state: State = State.JOB_FINISHED, message: str = "") -> None:
        """Another program moves the job to its end."""
        self.store.move_by_hand(only(job_id), state, message)

    def run_call(self, job_id: UUID) -> int:
        """Make a call as its job would, in this process; its exit code. The job ends accordingly."""
        self._monkeypatch.setenv("BALSAM_JOB_ID", str(job_id))
        code = call.main(str(self.files(job_id).folder))
        self.end(job_id, State.FAILED if code else State.JOB_FINISHED)
        return code

    def run_all_calls(self) -> None:
        """Make all calls that wait, oldest first."""
        for job in self.store.jobs(JobFilter(states=[State.CREATED])):
            self.run_call(job.job_id)

    def files(self, job_id: UUID) -> CallFiles:
        """The files of a call."""
        return CallFiles(self.site.path / "data" / job_folder(self.store.job(job_id)), job_id)

    def close(self) -> None:
        # Nothing is to wait any longer.
        self.store.kill(JobFilter())
        self.site.close()
        self.store.database.close()


def _url(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)
