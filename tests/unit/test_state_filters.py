"""The filter grammar: names, ids and parts of them, workflows, states, tags."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.dialects import postgresql

from balsam_core.errors import JobNotFound, JobSpecError
from balsam_core.state.filters import JobFilter, workflow_is
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from tests.helpers import put, state_of, temporary_store

pytestmark = pytest.mark.usefixtures("each_database")

ONE = UUID("aaaa1111-0000-4000-8000-00000000cafe")
TWO = UUID("aaaa2222-0000-4000-8000-0000beef0000")


def names(store: Store, **wanted: object) -> list[str]:
    """The names of the jobs that a filter finds, in order."""
    return sorted(job.name for job in store.jobs(JobFilter(**wanted)))  # type: ignore[arg-type]


def test_an_empty_filter_matches_all(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store)
    assert JobFilter().matches_all
    assert names(store) == ["job"]


def test_a_name_is_found_by_any_part_in_any_case_and_wildcards_of_sql_mean_themselves(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    for name in ("a_b", "axb", "50%", "50x", "Upper", "back\\slash"):
        put(store, name=name)
    assert names(store, name="a_b") == ["a_b"]
    assert names(store, name="0%") == ["50%"]
    assert names(store, name="upp") == ["Upper"]
    assert names(store, name="\\") == ["back\\slash"]


def test_a_workflow_is_the_whole_word_or_a_pattern_with_stars(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    for workflow in ("run_1", "runx1", "run", "RUN", "r[1]", "r?"):
        put(store, name=workflow, workflow=workflow)
    assert names(store, workflow="run") == ["run"]
    assert names(store, workflow="run*") == ["run", "run_1", "runx1"]
    assert names(store, workflow="*_1") == ["run_1"]
    assert names(store, workflow="r[1*") == ["r[1]"]
    assert names(store, workflow="r?*") == ["r?"]
    assert len(names(store, workflow="*")) == 6


def test_a_pattern_is_a_like_on_other_databases() -> None:
    compiled = workflow_is("a_*").compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})  # type: ignore[no-untyped-call]
    assert str(compiled) == "jobs.workflow LIKE 'a/_%%' ESCAPE '/'"


def test_states_are_any_of_and_tags_are_all_of(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store, State.FAILED, "failed", tags={"set": "train", "flag": ""})
    put(store, State.READY, "ready", tags={"set": "test"})
    put(store, State.READY, "bare")
    assert names(store, states=[State.FAILED, State.READY]) == ["bare", "failed", "ready"]
    assert names(store, states=[State.FAILED]) == ["failed"]
    assert names(store, tags={"set": "train"}) == ["failed"]
    assert names(store, tags={"set": ""}) == ["failed", "ready"]
    assert names(store, tags={"set": "train", "flag": ""}) == ["failed"]
    assert names(store, tags={"set": "train", "other": ""}) == []


@pytest.mark.parametrize("key", ["a.b", "with blank", "[0]", "ä", "$"])
def test_a_tag_may_have_an_odd_name(tmp_path: Path, key: str) -> None:
    store = temporary_store(tmp_path)
    put(store, name="tagged", tags={key: "x"})
    assert names(store, tags={key: "x"}) == ["tagged"]


def test_ids_are_found_by_their_beginning_with_or_without_dashes(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store, name="one", job_id=ONE)
    put(store, name="two", job_id=TWO)
    assert names(store, ids=["aaaa"]) == ["one", "two"]
    assert names(store, ids=["aaaa1"]) == ["one"]
    assert names(store, ids=["AAAA2222-00"]) == ["two"]
    assert names(store, ids=[str(ONE), "aaaa2"]) == ["one", "two"]
    assert names(store, ids=[str(TWO).upper()]) == ["two"]


def test_thousands_of_ids_are_one_query(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store, name="one", job_id=ONE)
    assert names(store, ids=[str(UUID(int=place)) for place in range(3000)] + [str(ONE)]) == ["one"]


def test_one_job_is_found_by_any_unique_part_of_its_id(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store, name="one", job_id=ONE)
    put(store, name="two", job_id=TWO)
    found = [store.find_job(part).name for part in ("aaaa1", "cafe", "beef", str(TWO))]
    assert found == ["one", "one", "two", "two"]


def test_a_part_that_several_ids_have_is_refused_with_a_list_of_them(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store, name="one", job_id=ONE)
    put(store, name="two", job_id=TWO)
    with pytest.raises(JobNotFound, match=rf"the id 'aaaa' fits several jobs: {ONE} \(one\), {TWO} \(two\)"):
        store.find_job("aaaa")
    with pytest.raises(JobNotFound, match="no job has the id 'ffff'"):
        store.find_job("ffff")
    for wrong in ("xyz", "", "-", "a" * 33):
        with pytest.raises(JobSpecError, match="is not part of a job's id"):
            store.find_job(wrong)


def test_what_changes_jobs_takes_no_part_that_several_ids_have(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store, job_id=ONE)
    put(store, job_id=TWO)
    several = JobFilter(ids=["aaaa"])
    for act in (
        lambda: store.kill(several),
        lambda: store.move_by_hand(several, State.FAILED),
        lambda: store.change_jobs(several, {"hold": True}),
    ):
        with pytest.raises(JobNotFound, match="fits several jobs"):
            act()
    store.kill(JobFilter(ids=["cafe"]))
    assert (state_of(store, ONE), state_of(store, TWO)) == (State.USER_KILLED, State.CREATED)
