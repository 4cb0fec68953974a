"""The database file: its schema and versions, its transactions, and how it fails."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from balsam_core.errors import DatabaseError, SchemaMismatch
from balsam_core.state import migrations
from balsam_core.state.database import SCHEMA_VERSION, Database
from balsam_core.state.hosts import boot_id, process_clock
from balsam_core.state.machine import State
from balsam_core.state.sqlite import SqliteDatabase
from balsam_core.state.store import Store, create_store, open_store, sqlite_url
from balsam_core.state.tables import jobs, metadata
from tests.helpers import claim, make_launcher, make_spec, put, temporary_store


def set_version(file: Path, version: str) -> None:
    """Write another schema version into a database."""
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [version])


def file_of(store: Store) -> Path:
    """Where the database lies."""
    return Path(store.database.name)


# --- the schema


@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_the_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    with store.database.engine.connect() as connection:
        # Alembic cannot compare the order of an index's columns; the next test does.
        options = {"compare_type": True, "include_name": lambda name, *_: "claimable" not in str(name)}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, metadata)
    assert [each for each in differences if "claimable" not in str(each)] == []


def test_the_columns_and_indexes_of_the_migrations_are_those_of_the_tables_to_the_letter(tmp_path: Path) -> None:
    def schema(database: Database) -> dict[str, set[object]]:
        with database.read() as tx:
            rows = tx.exec_driver_sql("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
            found: dict[str, set[object]] = {"indexes": {" ".join(row[0].split()) for row in rows}}
            for table in metadata.tables:
                found[table] = {tuple(row) for row in tx.exec_driver_sql(f"PRAGMA table_info({table})")}
            return found

    migrated = temporary_store(tmp_path).database
    declared = SqliteDatabase(sqlite_url(tmp_path / "declared.db"))
    with declared.write() as tx:
        metadata.create_all(tx)
    assert schema(migrated) == schema(declared)


def test_the_version_that_the_program_needs_is_the_newest_migration() -> None:
    modules = Path(migrations.__file__).parent.joinpath("versions").glob("v*.py")
    assert max(module.name[1:5] for module in modules) == SCHEMA_VERSION


def test_a_new_database_opens(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "new" / "balsam.db")
    create_store(url).database.close()
    assert open_store(url).jobs() == []
    assert SqliteDatabase(url).schema_version() == SCHEMA_VERSION


@pytest.mark.parametrize("name", ["with blank", "ümlaut", "100%", "a#b", "a?b", "a'b", "a&b=c"])
def test_the_folder_of_the_database_may_have_any_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name / "balsam.db"
    create_store(sqlite_url(file))
    assert file.is_file()
    assert file_of(open_store(sqlite_url(file))) == file


def test_making_the_schema_twice_changes_nothing(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store)
    store.database.create()
    assert len(store.jobs()) == 1


def test_a_missing_file_is_told_and_not_made(tmp_path: Path) -> None:
    file = tmp_path / "balsam.db"
    with pytest.raises(DatabaseError, match=f"the database {file} is missing; restore it, or make a new site"):
        open_store(sqlite_url(file))
    assert not file.exists()


def test_an_empty_or_foreign_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "balsam.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(SchemaMismatch, match="is not a Balsam database"):
        open_store(sqlite_url(file))


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "balsam.db"
    file.write_text("this is no database at all, but a text of some length\n" * 100)
    with pytest.raises(DatabaseError, match=r"is damaged \(file is not a database\); restore a copy of it"):
        open_store(sqlite_url(file))


def test_an_older_schema_says_to_upgrade(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    set_version(file_of(store), "0000")
    with pytest.raises(SchemaMismatch, match=r"older schema 0000, this program needs .*; run `balsam db upgrade`"):
        store.database.check()


def test_a_newer_schema_says_to_upgrade_the_program(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    set_version(file_of(store), "9999")
    with pytest.raises(SchemaMismatch, match=r"made by a newer Balsam than this one .*; upgrade balsam-core"):
        store.database.check()
    with pytest.raises(SchemaMismatch, match="newer Balsam"):
        store.database.upgrade()


# --- upgrade


@pytest.fixture
def newer(tmp_path: Path) -> type[SqliteDatabase]:
    """The database class of a later program, with one more migration."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    ours = Path(migrations.__file__).parent
    folder.joinpath("env.py").write_text(ours.joinpath("env.py").read_text())
    for module in ours.joinpath("versions").glob("v*.py"):
        folder.joinpath("versions", module.name).write_text(module.read_text())
    folder.joinpath("versions", "v9998_more.py").write_text(
        "import os\nfrom alembic import op\nimport sqlalchemy as sa\n"
        f"revision = '9998'\ndown_revision = '{SCHEMA_VERSION}'\n"
        "def upgrade():\n"
        "    op.add_column('jobs', sa.Column('more', sa.Integer(), server_default='7', nullable=False))\n"
        "    if os.environ.get('FAIL_THE_UPGRADE'):\n"
        "        raise RuntimeError('half-way')\n"
    )

    class Newer(SqliteDatabase):
        migrations = str(folder)
        schema_needed = "9998"

    return Newer


def test_an_upgrade_copies_first_and_keeps_the_jobs(tmp_path: Path, newer: type[SqliteDatabase]) -> None:
    old = temporary_store(tmp_path)
    job_id = put(old, State.FAILED)
    database = newer(str(old.database.url))
    with pytest.raises(SchemaMismatch, match="balsam db upgrade"):
        database.check()
    copy = database.upgrade()
    assert copy is not None
    assert copy.name.startswith(f"balsam.db.{SCHEMA_VERSION}.")
    database.check()
    with database.read() as tx:
        assert tx.exec_driver_sql("SELECT job_id, more FROM jobs").all() == [(job_id.hex, 7)]
    assert [job.job_id for job in open_store(sqlite_url(copy)).jobs()] == [job_id]
    assert database.upgrade() is None


def test_a_column_that_came_later_does_not_disturb_the_order_of_the_others(
    tmp_path: Path, newer: type[SqliteDatabase]
) -> None:
    old = temporary_store(tmp_path)
    newer(str(old.database.url)).upgrade()
    store = Store(SqliteDatabase(str(old.database.url)))
    job_id = put(store, State.PREPROCESSED)
    assert claim(store, make_launcher(store)) == [store.job(job_id).model_copy(update={"launcher_id": None})]


def test_a_database_of_the_first_schema_is_brought_up_to_date_with_its_launchers(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "first.db")
    first = SqliteDatabase(url)
    first._migrate("0001")
    with first.write() as tx:
        tx.exec_driver_sql(
            "INSERT INTO launchers VALUES "
            "('00000000000000000000000000000001', 'm', 'b', 'h', 1, 1.0, NULL, 'serial', '', 1, 9, 1, 1, 2, 'ok')"
        )
    with pytest.raises(SchemaMismatch, match="older schema 0001"):
        open_store(url)
    assert SqliteDatabase(url).upgrade() is not None
    ((row, _),) = open_store(url).launchers(ended=True)
    assert (row.end_reason, row.expired, row.launch_id, row.jobs_done) == ("ok", False, None, 0)


def test_an_upgrade_that_fails_changes_nothing(
    tmp_path: Path, newer: type[SqliteDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = temporary_store(tmp_path)
    database = newer(str(old.database.url))
    monkeypatch.setenv("FAIL_THE_UPGRADE", "1")
    with pytest.raises(RuntimeError, match="half-way"):
        database.upgrade()
    old.database.check()
    with old.database.read() as tx:
        assert "more" not in tx.exec_driver_sql("SELECT * FROM jobs").keys()  # noqa: SIM118 a result, not a dict


def test_an_upgrade_is_refused_while_a_launcher_lives(tmp_path: Path, newer: type[SqliteDatabase]) -> None:
    old = temporary_store(tmp_path)
    make_launcher(old, process_clock=1.0)
    living = make_launcher(old)
    with pytest.raises(DatabaseError, match=f"the launcher with pid {os.getpid()} on here uses the database; stop it"):
        newer(str(old.database.url)).upgrade()
    old.end_launcher(living, "stopped")
    assert newer(str(old.database.url)).upgrade() is not None


# --- transactions


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)

    def break_off() -> None:
        with store.database.write() as tx:
            tx.exec_driver_sql("DELETE FROM apps")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert len(store.apps()) == 2
    put(store)


def test_a_reader_sees_one_moment_and_hinders_no_writer(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    with store.database.read() as tx:
        before = tx.exec_driver_sql("SELECT count(*) FROM jobs").scalar()
        put(store)
        assert tx.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == before
    assert len(store.jobs()) == 1


def test_the_change_mark_differs_after_commits_of_others_and_only_then(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    other = open_store(str(store.database.url))
    first = store.database.change_mark()
    put(store)
    store.count_by_state()
    assert store.database.change_mark() == first
    put(other)
    second = store.database.change_mark()
    assert second != first
    other.count_by_state()
    assert store.database.change_mark() == second


# --- failures


def test_a_locked_database_says_how_long_it_waited(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    hasty = Store(SqliteDatabase(sqlite_url(tmp_path / "balsam.db"), lock_wait_seconds=0.05))
    with store.database.write():
        with pytest.raises(DatabaseError, match=r"stayed locked for 0\.05 s; another program is writing to it"):
            put(hasty)
        assert hasty.jobs() == []
    put(hasty)


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    kept = put(store)
    with store.database.write() as tx:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar()
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DatabaseError, match=r"the disk of .* is full .*; nothing was changed, free space"):
        store.add_jobs([make_spec(f"j{place}") for place in range(1000)])
    assert [job.job_id for job in store.jobs()] == [kept]
    with store.database.write() as tx:
        tx.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert len(store.add_jobs([make_spec(f"j{place}") for place in range(1000)])) == 1000


def test_a_database_that_refuses_writes_is_told(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    with store.database.write() as tx:
        tx.exec_driver_sql("PRAGMA query_only = 1")
    with pytest.raises(DatabaseError, match=r"cannot write to the database .*; check the owner and the permissions"):
        put(store)


def test_a_folder_where_the_file_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "balsam.db").mkdir()
    with pytest.raises(DatabaseError, match="cannot write to the database"):
        SqliteDatabase(sqlite_url(tmp_path / "balsam.db")).schema_version()


def test_a_bug_of_ours_keeps_its_traceback(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store)
    with pytest.raises(Exception, match="UNIQUE constraint failed") as caught, store.database.write() as tx:
        tx.execute(jobs.insert().from_select(jobs.c.keys(), jobs.select()))
    assert not isinstance(caught.value, DatabaseError)


def test_a_rollback_journal_serves_as_well(tmp_path: Path) -> None:
    store = create_store(sqlite_url(tmp_path / "balsam.db"), journal="DELETE")
    with store.database.read() as tx:
        assert tx.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        assert tx.exec_driver_sql("PRAGMA synchronous").scalar() == 2


# --- hosts


def test_a_process_is_known_by_its_start() -> None:
    mine = process_clock(os.getpid())
    assert mine is not None
    assert mine > 0
    assert process_clock(2**22 + 1) is None
    assert boot_id() == boot_id()
    assert sys.platform != "linux" or boot_id()
