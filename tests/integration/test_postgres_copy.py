"""A site moves from SQLite to PostgreSQL and back, and loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from balsam_core.state.machine import State
from balsam_core.state.store import Store, open_store, sqlite_url
from balsam_core.state.tables import metadata
from tests.acceptance.runner import CommandLine
from tests.helpers import make_launcher, put, temporary_store
from tests.postgres import PostgresServer

pytestmark = pytest.mark.postgres


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, but which machine an SQLite site belongs to."""
    with store.database.read() as tx:
        found = {
            name: [tuple(row) for row in tx.execute(table.select().order_by(*table.primary_key.columns))]
            for name, table in metadata.tables.items()
        }
    found["facts"] = [row for row in found["facts"] if row[0] not in ("machine_id", "host")]
    return found


def fill(store: Store) -> None:
    """Jobs of several kinds, with a history, an edge and a launcher of the past."""
    parent = put(store, State.FAILED, tags={"kind": "\u00e4"}, data={"x": [1, None]}, environ_vars={"A": "/x:/y"})
    put(store, parents=(parent,), wall_time_minutes=7, timeout_seconds=1.5)
    for place in range(3):
        put(store, name=f"j{place}")
    store.advance()
    store.end_launcher(make_launcher(store), "done")


def test_a_copy_there_and_back_and_a_backup_lose_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    postgres_server: PostgresServer,
) -> None:
    balsam = CommandLine(monkeypatch, capsys)
    balsam.ok("init", str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path / "site")
    temporary_store(tmp_path / "site")
    store = open_store(sqlite_url(tmp_path / "site" / "balsam.db"))
    fill(store)
    postgres_server.run("CREATE DATABASE copied")
    url = postgres_server.url("copied")

    living = make_launcher(store)
    refused = balsam("db", "copy", "--to", url)
    assert (refused.code, "uses this database; stop it" in refused.err) == (1, True)
    store.end_launcher(living, "done")

    assert "Copied 5 jobs, 2 apps, 1 dependency" in balsam.ok("db", "copy", "--to", url).out
    copied = open_store(url)
    assert rows(copied) == rows(store)
    again = balsam("db", "copy", "--to", url)
    assert (again.code, "give an empty database" in again.err) == (1, True)
    put(copied, name="later")
    assert copied.jobs()[-1].name == "later"

    monkeypatch.setenv("BALSAM_SITE__DATABASE", url)
    back = tmp_path / "back.db"
    balsam.ok("db", "copy", "--to", sqlite_url(back))
    assert rows(open_store(sqlite_url(back))) == rows(copied)
    balsam.ok("db", "backup", str(tmp_path / "backup.db"))
    postgres_server.run("CREATE DATABASE restored")
    monkeypatch.delenv("BALSAM_SITE__DATABASE")
    balsam.ok("init", str(tmp_path / "other"), "--database", postgres_server.url("restored"))
    monkeypatch.chdir(tmp_path / "other")
    balsam.ok("db", "restore", str(tmp_path / "backup.db"))
    assert rows(open_store(postgres_server.url("restored"))) == rows(copied)
