"""What holds for a site on PostgreSQL: launchers side by side, random histories, a server that goes away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings

from balsam_core.errors import ConfigError, DatabaseError, SchemaMismatch
from balsam_core.state.claims import Limits
from balsam_core.state.database import open_database
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State
from balsam_core.state.postgres import PostgresDatabase
from balsam_core.state.store import Store, open_store
from tests import helpers
from tests.helpers import (
    NO_RERUNS,
    claim,
    finish,
    first,
    make_launcher,
    make_spec,
    put,
    result_of,
    running,
    start_of,
    state_of,
    temporary_store,
)
from tests.postgres import PostgresServer, free_port
from tests.unit import test_state_properties

pytestmark = pytest.mark.postgres


@pytest.fixture
def store(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Store]:
    helpers.SERVER.append(postgres_server)
    store = temporary_store(tmp_path)
    yield store
    store.database.close()
    helpers.SERVER.pop().give_back()


def claim_all(url: str) -> None:
    """Claim, start and finish jobs until none are left."""
    store = open_store(url)
    launcher = make_launcher(store)
    while store.count_by_state().get(State.PREPROCESSED):
        jobs = store.claim(launcher, Limits(), first(20), page=50)
        store.report(launcher, [start_of(job) for job in jobs], [result_of(job) for job in jobs], NO_RERUNS)
    store.end_launcher(launcher, "nothing left")


def test_eight_launchers_claim_every_job_once(store: Store) -> None:
    ids = store.add_jobs([make_spec(f"j{place}") for place in range(2000)])
    store.advance()
    workers = [get_context("fork").Process(target=claim_all, args=(str(store.database.url),)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    starts = Counter(event.job_id for event in store.history(ids) if event.to_state == "RUNNING")
    assert starts == Counter(ids)
    assert store.count_by_state() == {State.JOB_FINISHED: 2000}
    assert len({row.launcher_id for row, _ in store.launchers(ended=True)}) == 8


def test_a_claim_passes_over_what_another_one_is_looking_at(store: Store) -> None:
    ids = [put(store, State.PREPROCESSED, f"j{place}") for place in range(4)]
    one, two = make_launcher(store), make_launcher(store)
    other = open_store(str(store.database.url))

    def choose_beside(jobs: object) -> list[UUID]:
        assert [job.job_id for job in claim(other, two, most=10)] == ids[2:]
        return ids[:2]

    assert [job.job_id for job in store.claim(one, Limits(), choose_beside, page=2)] == ids[:2]


def test_two_parents_that_end_at_once_release_their_child(store: Store) -> None:
    one, two = make_launcher(store), make_launcher(store)
    for _ in range(10):
        parents = [running(store, one, "a"), running(store, two, "b")]
        child = put(store, parents=tuple(job.job_id for job in parents), input_files="")
        store.advance()
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda pair: finish(store, *pair), zip((one, two), parents, strict=True)))
        assert state_of(store, child) is not State.AWAITING_PARENTS


def test_text_with_a_nul_is_stored_with_a_sign_in_its_place(store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher)
    finish(store, launcher, job, message="a\x00b")
    assert "a\N{REPLACEMENT CHARACTER}b" in [event.message for event in store.history([job.job_id])]


def test_the_change_mark_differs_after_commits_of_others_and_only_then(store: Store) -> None:
    other = open_store(str(store.database.url))
    begun = store.database.change_mark()
    put(store)
    assert store.database.change_mark() == begun
    put(other)
    changed = store.database.change_mark()
    assert changed != begun
    other.count_by_state()
    assert store.database.change_mark() == changed


def test_a_connection_that_was_cut_is_made_anew(store: Store, postgres_server: PostgresServer) -> None:
    mark = store.database.change_mark()
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{store.database.url.database}'"
    postgres_server.run(cut)
    put(store)
    assert store.jobs()[0].name == "job"
    with pytest.raises(DatabaseError, match="no PostgreSQL server answers"):
        store.database.change_mark()
    assert store.database.change_mark() != mark


def test_a_connection_lost_in_a_transaction_leaves_nothing(store: Store, postgres_server: PostgresServer) -> None:
    def break_off() -> None:
        with store.database.write() as tx:
            tx.exec_driver_sql("DELETE FROM apps")
            pid = tx.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            postgres_server.run(f"SELECT pg_terminate_backend({pid})")
            tx.exec_driver_sql("DELETE FROM jobs")

    with pytest.raises(DatabaseError, match="no PostgreSQL server answers"):
        break_off()
    assert len(store.apps()) == 2


def test_a_server_lost_at_the_commit_is_told_in_one_line(
    store: Store, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    def break_off() -> None:
        with store.database.write() as tx:
            # As hot paths do it, past SQLAlchemy, which does not know then that there is something to roll back.
            tx.connection.cursor().execute("DELETE FROM apps")
            postgres_server.crash()

    postgres_server.keep_commits(str(store.database.url))
    store.database.close()
    put(store)

    with pytest.raises(DatabaseError, match="no PostgreSQL server answers"):
        break_off()
    assert caplog.records == []
    postgres_server.start()
    assert len(store.apps()) == 2


def test_a_locked_database_says_how_long_it_waited(store: Store) -> None:
    hasty = Store(PostgresDatabase(str(store.database.url), lock_wait_seconds=0.05))
    with store.database.write():
        with pytest.raises(DatabaseError, match=r"stayed locked for 0\.05 s; another program is writing to it"):
            hasty.move_by_hand(JobFilter(), State.FAILED)
        assert hasty.jobs() == []


def test_a_program_that_hangs_in_a_transaction_loses_its_locks_and_nothing_else(store: Store) -> None:
    job = put(store, State.PREPROCESSED)
    hung = open_store(str(store.database.url))
    hung.database.keep_to_lease(0.2)

    def hang() -> None:
        with hung.database.write() as tx:
            tx.exec_driver_sql("UPDATE jobs SET state = 'FAILED'")
            store.change_jobs(helpers.only(job), {"priority": 7})
            tx.exec_driver_sql("SELECT 1")

    with pytest.raises(DatabaseError, match=r"this program hung for 0\.2 s inside a transaction of"):
        hang()
    assert state_of(hung, job) is State.PREPROCESSED
    assert store.job(job).priority == 7
    hung.database.close()


def test_no_server_is_told_at_once_and_without_the_password() -> None:
    database = open_database(f"postgresql://me:secret@127.0.0.1:{free_port()}/balsam")
    with pytest.raises(DatabaseError, match=r"no PostgreSQL server answers at 127\.0\.0\.1:\d+/balsam") as caught:
        database.check()
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(database.url)


def test_a_missing_database_and_a_foreign_one_are_told(store: Store, postgres_server: PostgresServer) -> None:
    with pytest.raises(DatabaseError, match="there is no database"):
        open_store(postgres_server.url("nowhere"))
    with pytest.raises(SchemaMismatch, match="is not a Balsam database"):
        open_store(postgres_server.url("postgres"))


def test_what_is_no_url_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError, match="is no URL") as caught:
        open_database("postgresql://me:secret@host:port/x")
    assert "secret" not in str(caught.value)


class PostgresSite(test_state_properties.Site):
    """The random histories, on PostgreSQL."""


TestPostgresSite = PostgresSite.TestCase
TestPostgresSite.settings = settings(
    max_examples=8,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestPostgresSite.__doc__ = "The site under random sequences, on PostgreSQL."


@pytest.fixture(autouse=True)
def _on_postgres(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[None]:
    """The random histories make their own stores."""
    random_histories = request.cls is TestPostgresSite
    if random_histories:
        helpers.SERVER.append(postgres_server)
    yield
    if random_histories:
        helpers.SERVER.pop().give_back()
