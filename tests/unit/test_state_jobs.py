"""Rows of jobs: folders, ids, applications, changes by their users."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from balsam_core.errors import AppNotFound, JobSpecError
from balsam_core.models.app import AppSpec
from balsam_core.models.job import Job, JobSpec
from balsam_core.state.filters import JobFilter
from balsam_core.state.jobs import EDITABLE, check_change, parse_change
from balsam_core.state.machine import State
from tests.helpers import claim, make_job, make_launcher, make_spec, only, put, running, temporary_store

pytestmark = pytest.mark.usefixtures("each_database")


def test_a_job_comes_back_as_it_was_asked_for(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    asked = make_spec(
        "full",
        description="d",
        args="--x '1 2'",
        wall_time_minutes=5,
        num_nodes=2,
        gpus_per_rank=0,
        memory_mb=100,
        timeout_seconds=1.5,
        max_retries=0,
        environ_vars={"A": "/x:/y"},
        tags={"k": "ä"},
        data={"deep": [1, {"x": None}]},
        wait_for_parents=False,
        post_error_handler=True,
        auto_timeout_retry=False,
        priority=-3,
        hold=True,
    )
    store.add_jobs([asked])
    found = store.job(asked.job_id)
    assert JobSpec(**{name: getattr(found, name) for name in JobSpec.model_fields}) == asked
    assert (found.state, found.attempt, found.unmet_parents, found.launcher_id) == (State.CREATED, 0, 0, None)
    assert type(found.hold) is bool
    assert found.created_at == found.state_at > 1e9


def test_a_job_of_a_row_can_be_compared_copied_and_dumped(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    job = store.job(put(store))
    assert job == store.job(job.job_id)
    assert job.model_copy(update={"name": "other"}) != job
    assert Job.model_validate(job.model_dump()) == job


def test_the_folder_is_named_after_workflow_name_and_the_first_eight_of_the_id(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    job_id = put(store, name=" my job ", workflow="w f")
    assert store.job(job_id).folder == f"w_f/my_job_{str(job_id)[:8]}"


def test_a_folder_that_is_taken_is_lengthened_by_the_rest_of_the_id(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    ids = [UUID(f"12345678-0000-4000-8000-{place:012d}") for place in range(4)]
    store.add_jobs([make_spec(job_id=ids[0])])
    # One clash with an older job, one inside the batch, one with another name that is none.
    store.add_jobs([make_spec(job_id=ids[1]), make_spec("other", job_id=ids[2]), make_spec("other", job_id=ids[3])])
    assert [store.job(job_id).folder for job_id in ids] == [
        "test/job_12345678",
        f"test/job_{ids[1].hex}",
        "test/other_12345678",
        f"test/other_{ids[3].hex}",
    ]
    assert [len(store.history([job_id])) for job_id in ids] == [1, 1, 1, 1]


def test_a_workflow_with_slashes_lies_in_folders_in_folders(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    job_id = put(store, name="a", workflow="Si 2/relax")
    assert store.job(job_id).folder == f"Si_2/relax/a_{str(job_id)[:8]}"


@pytest.mark.parametrize("workflow", ["/etc", "w/", "a//b", "w/../../x", "w/ .. /x", "."])
def test_a_workflow_names_no_folder_outside_the_data_folder(workflow: str) -> None:
    with pytest.raises(ValidationError, match=r"should not be empty|names no folder of its own"):
        make_spec(workflow=workflow)


def test_a_job_that_has_no_folder_yet_gets_one_of_its_new_name(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    ids = [UUID(f"12345678-0000-4000-8000-{place:012d}") for place in range(4)]
    store.add_jobs([make_spec(f"job{place}", job_id=job_id) for place, job_id in enumerate(ids[:3])])
    begun = put(store, State.PREPROCESSED, name="begun", job_id=ids[3])
    store.change_jobs(JobFilter(ids=[str(ids[0]), str(begun)]), {"workflow": "a/b"})
    store.change_jobs(JobFilter(ids=[str(ids[1]), str(ids[2])]), {"name": "same"})
    assert [store.job(job_id).folder for job_id in ids] == [
        "a/b/job0_12345678",
        "test/same_12345678",
        f"test/same_{ids[2].hex}",
        "test/begun_12345678",
    ]


def test_all_jobs_are_added_or_none(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    taken = put(store)
    same = make_spec()
    for wrong, message in (
        (make_spec(job_id=taken), f"there is a job with the id {taken} already"),
        (make_spec("renamed", job_id=taken), f"there is a job with the id {taken} already"),
        (same, "two of the jobs to be added have the same job_id"),
    ):
        with pytest.raises(JobSpecError, match=message):
            store.add_jobs([same, wrong])
    assert len(store.jobs()) == 1


def test_an_unknown_application_is_refused_with_the_nearest(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    with pytest.raises(AppNotFound, match=r"no application named 'treu'; did you mean 'true'\?"):
        store.add_jobs([make_spec(application="treu")])
    store.delete_apps(["true", "scripted"])
    with pytest.raises(AppNotFound, match="add it with `balsam app --name true --executable"):
        store.add_jobs([make_spec()])


def test_no_jobs_are_added_without_complaint(tmp_path: Path) -> None:
    assert temporary_store(tmp_path).add_jobs([]) == []


def test_missing_jobs_are_added_once(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store, name="old")
    added = store.add_missing_jobs([make_spec("old"), make_spec("new"), make_spec("new")])
    assert [job.name for job in store.jobs()] == ["old", "new"]
    assert len(added) == 1


def test_counts_are_by_state_and_by_workflow(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store, State.FAILED, workflow="b")
    put(store, workflow="a")
    put(store, workflow="a")
    assert store.count_by_state() == {State.CREATED: 2, State.FAILED: 1}
    assert store.count_by_state(JobFilter(workflow="b")) == {State.FAILED: 1}
    assert store.count_by_workflow() == {"a": {State.CREATED: 2}, "b": {State.FAILED: 1}}


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("post_error_handler", "False", False),
        ("post_error_handler", "true", True),
        ("hold", "0", False),
        ("num_nodes", "4", 4),
        ("priority", "-5", -5),
        ("wall_time_minutes", "none", None),
        ("wall_time_minutes", "", None),
        ("gpus_per_rank", "None", None),
        ("gpus_per_rank", "0", 0),
        ("timeout_seconds", "1.5", 1.5),
        ("max_retries", "null", None),
        ("args", "none", "none"),
        ("args", "", ""),
        ("name", "42", "42"),
        ("data", '{"a": [1, null]}', {"a": [1, None]}),
        ("tags", "a=1 b", {"a": "1", "b": ""}),
        ("tags", "", {}),
        ("environ_vars", "A=/x:/y:B=2", {"A": "/x:/y", "B": "2"}),
        ("cpu_affinity", "depth", "depth"),
    ],
)
def test_a_typed_value_is_read_by_the_type_of_its_field(name: str, typed: str, value: object) -> None:
    found = parse_change(name, typed)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "typed", "message"),
    [
        ("num_nodes", "many", "num_nodes cannot be 'many'"),
        ("num_nodes", "0", "num_nodes cannot be '0'"),
        ("hold", "perhaps", "hold cannot be 'perhaps'"),
        ("data", "{", "data cannot be '{': it is not JSON"),
        ("data", "[1]", r"data cannot be \[1\]"),
        ("data", '{"x": NaN}', r"data cannot be {'x': nan}: is not JSON \(Out of range float"),
        ("name", "a/b", "holds a slash"),
        ("environ_vars", "A", "is not of the form NAME=value"),
        ("num_node", "1", r"no field 'num_node' can be changed; did you mean 'num_nodes'\?"),
        ("job_id", str(UUID(int=1)), "no field 'job_id' can be changed"),
        ("attempt", "3", "no field 'attempt' can be changed"),
    ],
)
def test_a_typed_value_that_cannot_be_is_refused(name: str, typed: str, message: str) -> None:
    with pytest.raises(JobSpecError, match=message):
        parse_change(name, typed)


def test_a_change_of_what_is_not_the_users_is_refused_as_a_value_too() -> None:
    for name in ("job_id", "parents", "launcher_id", "state"):
        with pytest.raises(JobSpecError, match="can be changed"):
            check_change(name, None)


@pytest.mark.parametrize("name", sorted(EDITABLE - {"application"}))
def test_every_editable_field_can_be_written_back(tmp_path: Path, name: str) -> None:
    store = temporary_store(tmp_path)
    job_id = put(store)
    value: Any = getattr(store.job(job_id), name)
    assert store.change_jobs(only(job_id), {name: check_change(name, value)}) == 1
    assert getattr(store.job(job_id), name) == value


def test_a_change_may_touch_what_its_own_filter_asks_for(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store)
    job_id = put(store, State.PREPROCESSED, "old")
    claim(store, launcher)
    assert store.change_jobs(JobFilter(name="old"), {"name": "new"}) == 1
    assert (store.job(job_id).name, store.held(launcher)) == ("new", {})


def test_a_change_leaves_a_running_job_with_its_launcher(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store)
    job = running(store, launcher)
    store.change_jobs(only(job.job_id), {"data": {"objective": 1.0}})
    assert store.held(launcher) == {job.job_id: State.RUNNING}
    assert store.job(job.job_id).data == {"objective": 1.0}


def test_a_change_to_an_unknown_application_is_refused(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    job_id = put(store)
    with pytest.raises(AppNotFound, match="no application named 'ture'"):
        store.change_jobs(only(job_id), {"application": "ture"})


def test_applications_are_added_found_changed_and_deleted(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    store.add_app(AppSpec(name="echo_1", executable="/bin/echo"))
    with pytest.raises(JobSpecError, match="there is an application named 'echo_1' already"):
        store.add_app(AppSpec(name="echo_1", executable="/bin/echo"))
    store.change_app("echo_1", {"executable": "/bin/cat"})
    assert store.app("echo_1").executable == "/bin/cat"
    with pytest.raises(JobSpecError, match="no field 'exe' to change"):
        store.change_app("echo_1", {"exe": "x"})
    with pytest.raises(AppNotFound, match=r"did you mean 'echo_1'\?"):
        store.app("echo1")
    assert [app.name for app in store.apps("o_")] == ["echo_1"]
    assert store.delete_apps(["echo_1"]) == 1


def test_make_job_needs_no_database() -> None:
    assert make_job(State.RUN_DONE, job_id=uuid4()).state is State.RUN_DONE


@pytest.mark.parametrize("fields", [{"args": "caf\udce9"}, {"tags": {"place": "caf\udce9"}}])
def test_what_is_no_text_is_refused_in_one_line(tmp_path: Path, fields: dict[str, Any]) -> None:
    store = temporary_store(tmp_path)
    job = put(store)
    with pytest.raises(JobSpecError, match=r"caf\\udce9.* is no text in UTF-8"):
        store.add_jobs([make_spec(**fields)])
    with pytest.raises(JobSpecError, match=r"caf\\udce9.* is no text in UTF-8"):
        store.change_jobs(only(job), fields)
    assert [found.job_id for found in store.jobs()] == [job]
