"""Balsam 0.5's modules inside a test's own process, on a site of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from balsam.core import site as facade_site
from balsam_core.site import MARKER
from balsam_core.state.store import Store
from tests.helpers import temporary_store


@dataclass(frozen=True)
class Facade:
    """A site, and what programs import; the modules are untyped on purpose: programs of 2019 know no types."""

    path: Path
    models: Any
    dag: Any
    futures: Any

    @property
    def store(self) -> Store:
        """The database that the facade uses."""
        return facade_site.store()

    @property
    def BalsamJob(self) -> Any:  # noqa: N802 Balsam 0.5's name
        """The class of jobs."""
        return self.models.BalsamJob

    def add(self, *names: str, **fields: Any) -> list[Any]:
        """Save jobs with these names."""
        made = [self.BalsamJob(**{"name": name, "workflow": "w", "application": "true", **fields}) for name in names]
        self.BalsamJob.objects.bulk_create(made)
        return made

    def names(self, query: Any) -> list[str]:
        """The names of the jobs of a query, in its order."""
        return [job.name for job in query]


@contextmanager
def opened_facade(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Facade]:
    """The modules on a new site in `path`."""
    for folder in ("data", "log", "qsubmit"):
        (path / folder).mkdir(parents=True)
    database = temporary_store(path).database
    if database.serves_many_hosts:
        url = database.url.render_as_string(hide_password=False)
        (path / "settings.toml").write_text(f'[site]\ndatabase = "{url}"\n')
    database.close()
    (path / MARKER).touch()
    monkeypatch.setenv("BALSAM_DB_PATH", str(path))
    forget_site()
    try:
        names = ("balsam.core.models", "balsam.launcher.dag", "balsam.launcher.futures")
        yield Facade(path, *map(import_module, names))
    finally:
        forget_site()


def forget_site() -> None:
    """The next query opens the site of BALSAM_DB_PATH anew."""
    facade_site.close_connections()
    facade_site.store.cache_clear()
    facade_site.current_site.cache_clear()


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """What is sent to the database meanwhile, but for what begins and ends transactions."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    engine = store.database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
