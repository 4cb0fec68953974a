"""The jobs of a site as programs see them: added, found, waited for, killed."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import balsam_core
from balsam_core import Job, JobSpec, Site, State
from balsam_core.api.fields import CallFields, JobFields
from balsam_core.api.watcher import News, Watcher
from balsam_core.errors import BalsamError, DatabaseError, InvalidState, JobNotFound, JobSpecError, SiteNotFound
from balsam_core.site import create_site
from balsam_core.state.store import Store, open_store
from tests.api import PlayedSite
from tests.helpers import make_spec, put, temporary_store

# Where a launcher's part is played, nothing takes longer than this.
SOON = 10.0


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedSite]:
    played = PlayedSite(tmp_path / "site", monkeypatch)
    yield played
    played.close()


@pytest.fixture
def site(played: PlayedSite) -> Site:
    return played.site


# --- adding and finding


def test_data_that_is_not_json_is_refused(site: Site) -> None:
    for wrong in (float("nan"), [float("-inf")], object()):
        with pytest.raises(JobSpecError, match="is not JSON"):
            site.jobs.add("a", "w", "echo", data={"x": wrong})


def test_what_is_added_is_what_was_asked_for(site: Site) -> None:
    parent = site.jobs.add("parent", "w", "true")
    child = site.jobs.add("child", "w", "true", args="-v", parents=[parent], tags={"a": "1"}, data={"x": [1]})
    assert (child.state, child.args, child.tags, child.data) == (State.CREATED, "-v", {"a": "1"}, {"x": [1]})
    assert (child.parents, site.jobs.get(child).parents) == ((parent.job_id,), (parent.job_id,))


def test_many_are_added_all_or_none(site: Site) -> None:
    jobs = site.jobs.add_many([make_spec("a"), {"name": "b", "workflow": "test", "application": "true"}])
    assert [job.name for job in jobs] == ["a", "b"]
    with pytest.raises(BalsamError, match="did you mean 'true'"):
        site.jobs.add_many([make_spec("c"), make_spec("d", application="tru")])
    assert site.jobs.count() == {State.CREATED: 2}


def test_many_are_found_at_once_without_those_that_were_deleted(site: Site) -> None:
    parent = site.jobs.add("parent", "w", "true")
    child = site.jobs.add("child", "w", "true", parents=[parent])
    assert site.jobs.find([child, uuid4()]) == {child.job_id: child}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_node": 2}, "a job has no field 'num_node'; did you mean 'num_nodes'?"),
        ({"num_nodes": 0}, "num_nodes cannot be 0: "),
        ({"name": "a/b"}, "name cannot be 'a/b': holds a slash"),
    ],
)
def test_a_wrong_field_is_refused_by_name(site: Site, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(JobSpecError, match="^" + words.replace("?", r"\?")):
        site.jobs.add(**{"name": "a", "workflow": "w", "application": "true", **fields})
    with pytest.raises(JobSpecError, match=r"^workflow is missing"):
        site.jobs.add_many([{"name": "a"}])


def test_type_checkers_know_every_field_of_a_job() -> None:
    fields = set(JobSpec.model_fields)
    assert set(JobFields.__annotations__) == fields - {"name", "workflow", "application"}
    assert set(CallFields.__annotations__) == fields - {"job_id", "args"}


def test_jobs_are_found_by_the_filters_of_the_command_line(site: Site, played: PlayedSite) -> None:
    for name, workflow in [("task1", "a"), ("Task2", "a"), ("other", "b")]:
        site.jobs.add(name, workflow, "true", tags={"of": workflow})
    done = put(played.store, State.FAILED, "ended", workflow="c")
    assert [job.name for job in site.jobs.query(name="task", workflow="a*")] == ["task1", "Task2"]
    assert [job.job_id for job in site.jobs.query(states=["failed", State.USER_KILLED])] == [done]
    assert [job.name for job in site.jobs.query(tags={"of": "b"})] == ["other"]
    assert [job.name for job in site.jobs.query(limit=1)] == ["task1"]
    assert site.jobs.count(workflow="a") == {State.CREATED: 2}
    assert site.jobs.get(str(done)[:8]).name == "ended"
    with pytest.raises(InvalidState, match="did you mean 'FAILED'"):
        site.jobs.query(states=["FAILD"])
    with pytest.raises(JobNotFound):
        site.jobs.get(uuid4())


def test_an_application_is_added_and_found(site: Site) -> None:
    site.apps.add("train", "/usr/bin/python3 train.py", description="one epoch")
    assert [(app.name, app.description) for app in site.apps.query("tr") if app.name != "true"] == [
        ("train", "one epoch")
    ]
    with pytest.raises(JobSpecError, match="executable cannot be ''"):
        site.apps.add("empty", "")
    with pytest.raises(JobSpecError, match="already"):
        site.apps.add("train", "other")


def test_killing_counts_what_it_changed(site: Site) -> None:
    jobs = [site.jobs.add(name, "w", "true") for name in "abc"]
    assert (site.jobs.kill(jobs[:2]), site.jobs.kill(jobs), site.jobs.kill([])) == (2, 1, 0)
    assert site.jobs.count() == {State.USER_KILLED: 3}


def test_a_job_has_a_folder_and_an_output(site: Site) -> None:
    job = site.jobs.add("my job", "w", "true")
    folder = site.jobs.folder(job)
    assert folder == site.path / "data" / "w" / f"my_job_{str(job.job_id)[:8]}"
    assert site.jobs.output(job) == ""
    folder.mkdir(parents=True)
    (folder / "my_job.out").write_text("hello\n")
    assert site.jobs.output(job) == "hello\n"


# --- waiting


@pytest.mark.usefixtures("each_database")
def test_jobs_are_waited_for_until_all_any_or_the_time_is_up(site: Site, played: PlayedSite) -> None:
    one, two = jobs = [site.jobs.add(name, "w", "true") for name in ("one", "two")]
    assert site.jobs.wait(jobs, timeout_seconds=0.01).done == []
    played.end(two.job_id, State.FAILED)
    waited = site.jobs.wait(jobs, until="any", timeout_seconds=SOON)
    assert ([job.state for job in waited.done], [job.name for job in waited.not_done]) == ([State.FAILED], ["one"])
    threading.Timer(0.1, played.end, [one.job_id]).start()
    began = time.monotonic()
    assert [job.name for job in site.jobs.wait(jobs, timeout_seconds=SOON).done] == ["one", "two"]
    assert time.monotonic() - began < SOON / 2


@pytest.mark.usefixtures("each_database")
def test_jobs_come_as_they_end(site: Site, played: PlayedSite) -> None:
    jobs = [site.jobs.add(name, "w", "true") for name in "abc"]
    ended = site.jobs.as_completed(jobs, timeout_seconds=SOON)
    for job in reversed(jobs):
        played.end(job.job_id)
        assert next(ended).name == job.name
    assert list(ended) == []


def test_who_waits_for_too_long_or_for_a_deleted_job_is_told(site: Site, played: PlayedSite) -> None:
    job = site.jobs.add("a", "w", "true")
    with pytest.raises(TimeoutError, match=r"1 of 1 jobs have not ended within 0\.01 s"):
        list(site.jobs.as_completed([job], timeout_seconds=0.01))
    played.store.delete_jobs([job.job_id])
    with pytest.raises(JobNotFound, match="was deleted while it was waited for"):
        site.jobs.wait([job], timeout_seconds=SOON)


@pytest.mark.usefixtures("each_database")
def test_an_end_is_noticed_soon(site: Site, played: PlayedSite) -> None:
    def end(job_id: UUID) -> None:
        played.end(job_id)
        ended.append(time.monotonic())

    ended: list[float] = []
    noticed: list[float] = []
    for _ in range(5):
        job = site.jobs.add("a", "w", "true")
        timer = threading.Timer(0.2, end, [job.job_id])
        timer.start()
        site.jobs.wait([job], timeout_seconds=SOON)
        noticed.append(time.monotonic())
        timer.join(SOON)
    # The best of them: other programs may keep this machine busy.
    assert min(late - early for early, late in zip(ended, noticed, strict=True)) < 0.3


@pytest.mark.usefixtures("each_database")
def test_a_wait_goes_on_when_the_server_has_closed_its_connections(site: Site, played: PlayedSite) -> None:
    job = site.jobs.add("a", "w", "true")
    assert site.jobs.wait([job], timeout_seconds=0.3).done == []
    if played.store.database.serves_many_hosts:
        with played.store.database.read() as tx:
            tx.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    threading.Timer(0.1, played.end, [job.job_id]).start()
    assert len(site.jobs.wait([job], timeout_seconds=SOON).done) == 1


def test_nothing_to_wait_for_is_no_wait(site: Site) -> None:
    assert site.jobs.wait([]).done == []
    assert list(site.jobs.as_completed([])) == []


class CountingStore(Store):
    """Counts the queries of a watcher."""

    queries = 0

    def listed(self, *args: Any, **options: Any) -> list[Any]:
        CountingStore.queries += 1
        return super().listed(*args, **options)


def test_a_thousand_jobs_cost_one_query_a_second_however_busy_the_database_is(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    specs = [make_spec(f"job{number}") for number in range(1000)]
    store.add_jobs(specs)
    told: set[UUID] = set()
    CountingStore.queries = 0
    watcher = Watcher(lambda: CountingStore(open_store(f"sqlite:///{tmp_path}/balsam.db").database))
    watcher.watch([spec.job_id for spec in specs], lambda job_id, news: told.add(job_id))
    began = time.monotonic()
    while time.monotonic() < began + 1.5:
        put(store, name="another")
    seconds = time.monotonic() - began
    assert len(told) == 1000
    assert CountingStore.queries <= 1 + seconds
    store.database.close()


def test_a_watcher_that_cannot_go_on_tells_all_who_wait(tmp_path: Path) -> None:
    heard: list[News] = []
    told = threading.Event()

    def tell(_job_id: UUID, news: News) -> None:
        heard.append(news)
        told.set()

    def fail() -> Store:
        raise BalsamError("the settings are wrong")

    Watcher(fail).watch([uuid4()], tell)
    assert told.wait(SOON)
    assert str(heard[0]) == "the settings are wrong"


def test_a_watcher_bears_with_a_database_that_comes_back(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    job_id = put(store, State.JOB_FINISHED)
    heard: list[News] = []
    told = threading.Event()
    troubles = [DatabaseError("no server answers")]

    def tell(_job_id: UUID, news: News) -> None:
        heard.append(news)
        told.set()

    def opened() -> Store:
        if troubles:
            raise troubles.pop()
        return open_store(f"sqlite:///{tmp_path}/balsam.db")

    Watcher(opened).watch([job_id], tell)
    assert told.wait(SOON)
    assert heard == [State.JOB_FINISHED]
    store.database.close()


# --- the site itself


def test_the_site_is_the_named_one_or_the_active_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_site(tmp_path / "here", lambda site: temporary_store(site.path).database.close())
    monkeypatch.setenv("BALSAM_DB_PATH", str(tmp_path / "here"))
    with Site() as site:
        assert site.path == tmp_path / "here"
        assert site.jobs.query() == []
    assert pickle.loads(pickle.dumps(site)).path == site.path
    with pytest.raises(SiteNotFound, match=r"there is not a site; make it one with `balsam init "):
        Site(tmp_path / "there")


def test_threads_share_a_site(site: Site) -> None:
    def add(number: int) -> None:
        names.append(site.jobs.add(f"job{number}", "w", "true").name)

    names: list[str] = []
    threads = [threading.Thread(target=add, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert sorted(names) == sorted(job.name for job in site.jobs.query())
    assert len(names) == 20


def test_the_package_offers_each_name_and_no_other() -> None:
    assert {name: getattr(balsam_core, name).__name__ for name in balsam_core.__all__} == {
        name: name for name in balsam_core.__all__
    }
    assert balsam_core.Job is Job
    with pytest.raises(AttributeError, match="has no attribute 'Sites'"):
        balsam_core.Sites  # noqa: B018 - looking it up is the test
