"""Jobs and applications as objects: what `save` writes, what `refresh_from_db` reads, what a history says."""

from __future__ import annotations

import json
import os
import pickle
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from balsam_core.state.hosts import machine_id
from balsam_core.state.machine import State
from tests.acceptance.facade import Facade, statements
from tests.helpers import make_launcher, running

on_each_database = pytest.mark.usefixtures("each_database")

_BALSAM_05 = {
    "job_id": UUID(int=7),
    "workflow": "w",
    "name": "every",
    "description": "d",
    "parents": "[]",
    "input_files": "a* b*",
    "stage_in_url": "local:/in",
    "stage_out_url": "local:/out",
    "stage_out_files": "*.out",
    "wall_time_minutes": 10,
    "num_nodes": 2,
    "coschedule_num_nodes": 3,
    "ranks_per_node": 4,
    "cpu_affinity": "depth",
    "threads_per_rank": 2,
    "threads_per_core": 1,
    "node_packing_count": 5,
    "environ_vars": "A=1:B=x=y:C=/x:/y",
    "application": "true",
    "args": "--a 'b c'",
    "mpi_flags": "-f",
    "user_workdir": "/tmp/there",
    "wait_for_parents": False,
    "post_error_handler": True,
    "post_timeout_handler": True,
    "auto_timeout_retry": False,
    "state": "CREATED",
    "queued_launch": None,
    "data": {"x": [1]},
}


@on_each_database
def test_every_field_of_balsam_is_taken_kept_and_read_back(facade: Facade) -> None:
    facade.BalsamJob(**_BALSAM_05).save()
    read = facade.BalsamJob.objects.get()
    assert {name: getattr(read, name) for name in _BALSAM_05} == _BALSAM_05
    assert (read.pk, read.num_ranks, read.lock) == (UUID(int=7), 8, "")
    assert isinstance(read.tick, datetime)


def test_the_older_names_of_fields_are_other_names_of_them(facade: Facade) -> None:
    job = facade.BalsamJob(name="a", application_args="1", serial_node_packing_count=4)
    job.save()
    job.application_args = "2 3"
    job.save(update_fields=["application_args"])
    read = facade.BalsamJob.objects.get(application_args__startswith="2")
    assert (read.args, read.application_args, read.node_packing_count) == ("2 3", "2 3", 4)
    assert facade.dag.clone(read, application_args="5").args == "5"
    read.args = "forgotten"
    read.refresh_from_db(fields=["application_args"])
    assert read.args == "2 3"


def test_a_command_in_the_place_of_an_application_becomes_one(facade: Facade) -> None:
    job = facade.dag.add_job(name="a", direct_command="printf %s", application_args="x", state="PREPROCESSED")
    app = facade.models.ApplicationDefinition.objects.get(name="printf %s")
    read = facade.BalsamJob.objects.get(name="a")
    assert (app.executable, read.app_cmd, read.state) == ("printf %s", "printf %s x", "PREPROCESSED")
    read.direct_command = "echo"
    read.save()
    assert facade.dag.clone(job, direct_command="").app_cmd == "printf %s x"
    assert facade.BalsamJob.objects.get().app_cmd == "echo x"


def test_a_new_job_has_an_id_a_folder_and_defaults_before_it_is_saved(facade: Facade) -> None:
    job = facade.BalsamJob()
    assert isinstance(job.pk, UUID)
    assert (job.job_id, job.state, job.parents, job.wall_time_minutes, job.environ_vars) == (
        job.pk,
        "CREATED",
        "[]",
        1,
        "",
    )
    job.name, job.workflow = " my job ", "w"
    before = job.working_directory
    assert before == str(facade.path / "data" / "w" / f"my_job_{str(job.pk)[:8]}")
    with statements(facade.store) as sent:
        job.save()
    assert not any(statement.startswith("SELECT jobs.seq") for statement in sent), "it is not read back"
    assert (job.working_directory, facade.BalsamJob.objects.get().working_directory) == (before, before)


@on_each_database
def test_a_folder_that_is_taken_is_told_after_saving(facade: Facade) -> None:
    first = UUID("11111111-0000-0000-0000-000000000001")
    second = UUID("11111111-0000-0000-0000-000000000002")
    for pk in (first, second):
        job = facade.BalsamJob(job_id=pk, name="a", workflow="w")
        job.save()
    assert job.working_directory.endswith(f"a_{second.hex}")


@pytest.mark.parametrize("blank", [{}, {"name": "", "workflow": ""}, {"name": None, "workflow": " "}])
def test_a_job_without_a_name_can_be_saved(facade: Facade, blank: dict[str, Any]) -> None:
    facade.BalsamJob(**blank).save()
    assert list(facade.BalsamJob.objects.values_list("name", "workflow")) == [("unnamed", "default")]


def test_jobs_are_equal_by_their_id_and_can_be_in_sets_and_pickled(facade: Facade) -> None:
    (job,) = facade.add("a")
    again = facade.BalsamJob.objects.get()
    assert job == again
    assert len({job, again}) == 1
    assert job in facade.BalsamJob.objects.all()
    assert job != facade.BalsamJob()
    assert job != job.pk
    copy = pickle.loads(pickle.dumps(again))
    assert (copy, copy.data, copy.state_history) == (again, again.data, again.state_history)


def test_free_attributes_stay_with_the_object(facade: Facade) -> None:
    job = facade.dag.add_job(name="a", workflow="w", procs_per_node=4)
    job.my_result = 3
    job.save()
    assert (job.procs_per_node, job.my_result) == (4, 3)
    with pytest.raises(AttributeError, match="no attribute 'procs_per_node'"):
        facade.BalsamJob.objects.get().procs_per_node  # noqa: B018


@on_each_database
def test_two_programs_that_save_the_whole_row_lose_nothing_of_each_other(facade: Facade) -> None:
    facade.add("a", data={"tries": []})
    mine, other = facade.BalsamJob.objects.get(), facade.BalsamJob.objects.get()
    other.args = "from other"
    other.update_state("PREPROCESSED", "by other")
    other.save()
    mine.data["tries"].append(1)
    mine.save()
    read = facade.BalsamJob.objects.get()
    assert (read.args, read.state, read.data) == ("from other", "PREPROCESSED", {"tries": [1]})


def test_nothing_is_written_when_nothing_changed(facade: Facade) -> None:
    facade.add("a", data={"x": 1}, environ_vars={"A": "x:B=y"})
    job = facade.BalsamJob.objects.get()
    with statements(facade.store) as sent:
        job.save()
    assert sent == []
    job.environ_vars = variables = {"A": "2"}
    job.save()
    variables["B"] = "3"
    job.save()
    assert facade.BalsamJob.objects.get().environ_vars == "A=2:B=3"


def test_data_reads_as_json_has_it(facade: Facade) -> None:
    job = facade.dag.add_job(name="a", workflow="w", data={1: (2, 3), "x": {4: None}})
    assert facade.BalsamJob.objects.get().data == {"1": [2, 3], "x": {"4": None}}
    with statements(facade.store) as sent:
        job.save()
    assert sent == []
    job.data["x"] = object()
    with pytest.raises(TypeError, match="not JSON serializable"):
        job.save()


def test_a_wall_time_that_nobody_declared_stays_undeclared(facade: Facade) -> None:
    silent, said = facade.add("silent")[0], facade.add("said", wall_time_minutes=1)[0]
    for job in (*facade.BalsamJob.objects.all(), facade.dag.clone(silent, name="copy")):
        assert job.wall_time_minutes == 1
        job.args = "changed"
        job.save()
    assert [(job.name, job.wall_time_minutes) for job in facade.store.jobs()] == [
        ("silent", None),
        ("said", 1),
        ("copy", None),
    ]
    said.wall_time_minutes += 10
    said.save()
    assert facade.store.job(said.pk).wall_time_minutes == 11


def test_update_fields_writes_only_those(facade: Facade) -> None:
    facade.add("a")
    job = facade.BalsamJob.objects.get()
    job.args, job.ranks_per_node, job.description = "new", "3", "kept back"
    job.save(update_fields=["args", "ranks_per_node"])
    read = facade.BalsamJob.objects.get()
    assert (read.args, read.ranks_per_node, read.description) == ("new", 3, "")
    job.save()
    assert facade.BalsamJob.objects.get().description == "kept back"
    with pytest.raises(ValueError, match="no field 'arg'"):
        job.save(update_fields=["arg"])


def test_a_refresh_reads_all_fields_or_those_that_are_named(facade: Facade) -> None:
    facade.add("a")
    mine, other = facade.BalsamJob.objects.get(), facade.BalsamJob.objects.get()
    other.args, other.num_nodes = "new", 5
    other.save()
    mine.refresh_from_db(fields=["args"])
    assert (mine.args, mine.num_nodes) == ("new", 1)
    mine.refresh_from_db()
    assert mine.num_nodes == 5
    other.delete()
    with pytest.raises(facade.BalsamJob.DoesNotExist):
        mine.refresh_from_db()
    mine.args = "lost"
    with pytest.raises(facade.BalsamJob.DoesNotExist, match="was deleted; nothing was saved"):
        mine.save()


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"num_nodes": 0}, "InvalidFieldError", "num_nodes"),
        ({"num_nodes": "many"}, "InvalidFieldError", "num_nodes cannot be 'many'"),
        ({"name": "a/b"}, "InvalidFieldError", "holds a slash"),
        ({"environ_vars": "nonsense"}, "InvalidFieldError", "not of the form NAME=value"),
        ({"cpu_affinity": "all"}, "InvalidFieldError", "cpu_affinity"),
        ({"state": "DONE"}, "InvalidStateError", "no state named 'DONE'"),
        ({"parents": ["nonsense"]}, "InvalidParentsError", "'nonsense' is no id"),
        ({"parents": [uuid4()]}, "InvalidParentsError", "no job has the id"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(
    facade: Facade, fields: dict[str, Any], error: str, words: str
) -> None:
    from django.core.exceptions import ValidationError

    with pytest.raises(ValidationError) as caught:
        facade.BalsamJob(**fields).save()
    assert (type(caught.value).__name__, words in str(caught.value)) == (error, True)
    assert facade.BalsamJob.objects.count() == 0


def test_full_clean_says_what_save_would_refuse(facade: Facade) -> None:
    facade.BalsamJob(name="a").full_clean()
    with pytest.raises(facade.models.InvalidFieldError, match="ranks_per_node"):
        facade.BalsamJob(ranks_per_node=-1).full_clean()


# --- states


@on_each_database
def test_a_history_reads_as_balsam_wrote_it(facade: Facade) -> None:
    (job,) = facade.add("a")
    job.update_state("PREPROCESSED", "using pre.py")
    job.update_state("RUN_ERROR", "line one\nline two")
    stamp = r"\n\[\d\d-\d\d-\d{4} \d\d:\d\d:\d\d\.\d{6} "
    words = (r"CREATED\] ", r"PREPROCESSED\] by hand: using pre\.py", r"RUN_ERROR\] by hand: line one\nline two")
    lines = "".join(f" *{stamp}{each}" for each in words)
    assert re.fullmatch(lines, job.state_history), job.state_history
    times = job.get_state_times()
    assert list(times) == ["CREATED", "PREPROCESSED", "RUN_ERROR"]
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    assert all(moment.tzinfo is None and abs((now - moment).total_seconds()) < 60 for moment in times.values())
    assert job.get_recent_state_str() == "line two"
    assert "RUN_ERROR" in facade.BalsamJob.objects.values_list("state_history", flat=True)[0]


def test_an_unsaved_job_is_inserted_by_update_state(facade: Facade) -> None:
    job = facade.BalsamJob()
    job.update_state("RUN_DONE", "why not")
    assert facade.BalsamJob.objects.get().state == job.state == "RUN_DONE"
    with pytest.raises(facade.models.InvalidStateError, match="no state named 'DONE'"):
        job.update_state("DONE")


@on_each_database
def test_a_state_that_is_set_and_saved_goes_through_the_state_machine(facade: Facade) -> None:
    (parent,) = facade.add("parent", state="RUNNING")
    (child,) = facade.add("child", parents=[parent])
    facade.store.advance()
    parent.state = "JOB_FINISHED"
    parent.state_history += facade.models.history_line("JOB_FINISHED", "done elsewhere")
    parent.save(update_fields=["state", "state_history"])
    child.refresh_from_db()
    assert child.state == "READY"
    assert parent.get_recent_state_str().endswith("JOB_FINISHED] by hand: done elsewhere")


@on_each_database
def test_a_saved_change_of_state_and_parents_keeps_its_message(facade: Facade) -> None:
    parent, job = facade.add("parent", "a")
    job.parents = [parent]
    job.state = "RUN_DONE"
    job.state_history += facade.models.history_line("RUN_DONE", "elsewhere")
    job.save()
    read = facade.BalsamJob.objects.get(name="a")
    assert (read.get_parents_by_id(), read.get_recent_state_str()[-9:]) == ([str(parent.pk)], "elsewhere")


def test_a_killed_job_stays_so(facade: Facade) -> None:
    from django.db.models import Value
    from django.db.models.functions import Concat

    killed, other = facade.add("killed", "other")
    facade.dag.kill(killed)
    line = facade.models.history_line("RESTART_READY", "again")
    jobs = facade.BalsamJob.objects
    assert jobs.update(state="RESTART_READY", state_history=Concat("state_history", Value(line)), args="x") == 1
    facade.BalsamJob.batch_update_state([killed.pk, other.pk], "PREPROCESSED", "in a batch")
    assert list(jobs.values_list("name", "state", "args")) == [
        ("killed", "USER_KILLED", ""),
        ("other", "PREPROCESSED", "x"),
    ]
    assert "by hand: again" in jobs.get(name="other").state_history
    killed.state = "READY"
    with pytest.raises(facade.models.InvalidStateError, match="is USER_KILLED and cannot become READY"):
        killed.save()
    with pytest.raises(facade.models.InvalidStateError):
        killed.update_state("READY")


@on_each_database
def test_a_bulk_update_sets_fields_and_leaves_events(facade: Facade) -> None:
    from django.db.models import F

    facade.add("a", "b", "c", num_nodes=2)
    some = facade.BalsamJob.objects.filter(name__in=["a", "b"])
    assert some.update(num_nodes=F("num_nodes") * 2 + 1, args="x", environ_vars={"A": 1}) == 2
    assert some.filter(state="CREATED").update(state="RUNNING") == 2
    assert list(facade.BalsamJob.objects.values_list("num_nodes", "state", "environ_vars")) == [
        (5, "RUNNING", "A=1"),
        (5, "RUNNING", "A=1"),
        (2, "CREATED", ""),
    ]
    assert [len(job.get_state_times()) for job in some.all()] == [2, 2]
    assert facade.BalsamJob.objects.filter(name="nobody").update(args="y") == 0


def test_a_launchers_own_columns_are_not_overwritten(facade: Facade) -> None:
    launcher = make_launcher(facade.store, machine_id=machine_id(os.environ))
    job_id = running(facade.store, launcher, data={}).job_id
    seen_by_task = facade.BalsamJob.objects.get(pk=job_id)
    seen_by_task.data["objective"] = 1.0
    seen_by_task.save()
    kept = facade.store.job(job_id)
    assert (kept.launcher_id, kept.state, kept.attempt, kept.data) == (launcher, State.RUNNING, 1, {"objective": 1.0})
    assert seen_by_task.lock == f"here:{os.getpid()}"


@on_each_database
def test_related_fields_of_many_jobs_are_read_at_once(facade: Facade) -> None:
    facade.add(*"abcde")
    listed = list(facade.BalsamJob.objects.all())
    with statements(facade.store) as sent:
        assert all("CREATED" in job.state_history and job.parents == "[]" and job.lock == "" for job in listed)
    assert len(sent) == 3


def test_what_is_saved_in_bulk_is_all_or_nothing(facade: Facade) -> None:
    jobs = [facade.dag.add_job(save=False, name=name, workflow="w", state=state) for name, state in
            (("a", "CREATED"), ("b", "RUN_DONE"))]  # fmt: skip
    facade.BalsamJob.objects.bulk_create(jobs)
    assert list(facade.BalsamJob.objects.values_list("name", "state")) == [("a", "CREATED"), ("b", "RUN_DONE")]
    with pytest.raises(facade.models.InvalidFieldError):
        facade.BalsamJob.objects.bulk_create([facade.BalsamJob(name="c"), facade.BalsamJob(num_nodes=0)])
    assert facade.BalsamJob.objects.count() == 2


def test_get_or_create_and_update_or_create(facade: Facade) -> None:
    jobs = facade.BalsamJob.objects
    job, created = jobs.get_or_create(name="a", defaults={"workflow": "w", "args": "1"})
    again, created_again = jobs.get_or_create(name="a", defaults={"args": "2"})
    assert (created, created_again, again.args, again) == (True, False, "1", job)
    changed, _ = jobs.update_or_create(name="a", defaults={"args": "3"})
    assert (jobs.get().args, changed.pk) == ("3", job.pk)
    assert jobs.create(name="b", workflow="w").pk == jobs.get(name="b").pk


def test_deleting_counts_by_model(facade: Facade) -> None:
    facade.add("a", "b", "c")
    jobs = facade.BalsamJob.objects
    assert jobs.filter(name__in="ab").delete() == (2, {"core.BalsamJob": 2})
    assert jobs.get().delete() == (1, {"core.BalsamJob": 1})
    assert jobs.filter(name="a").delete() == (0, {"core.BalsamJob": 0})


# --- the graph


@on_each_database
def test_parents_are_set_read_and_replaced(facade: Facade) -> None:
    one, two, three = facade.add("one", "two", "three")
    new = facade.BalsamJob(name="new")
    new.set_parents([one, two.pk])
    assert facade.BalsamJob.objects.count() == 4, "a new job is saved by it"
    assert new.get_parents_by_id() == [str(one.pk), str(two.pk)] == json.loads(new.parents)
    assert [job.name for job in new.get_parents()] == ["one", "two"]
    assert new in two.get_children()
    assert one.get_children_by_id() == [new.pk]
    new.set_parents([str(three.pk)])
    new.refresh_from_db()
    assert new.get_parents_by_id() == [str(three.pk)]
    assert facade.names(facade.BalsamJob.objects.filter(parents__icontains=str(three.pk))) == ["new"]
    new.set_parents([])
    assert not new.get_parents().exists()
    new.parents = json.dumps([str(one.pk)])
    new.save()
    assert facade.names(new.get_parents()) == ["one"]


def test_parents_that_cannot_be_are_refused(facade: Facade) -> None:
    (job, other) = facade.add("a", "b")
    for wrong in ([uuid4()], ["nonsense"], 3):
        with pytest.raises(facade.models.InvalidParentsError):
            job.set_parents(wrong)
    other.set_parents([job])
    with pytest.raises(RuntimeError, match="Detected circular dependency"):
        job.set_parents([other])
    assert facade.names(other.get_parents()) == ["a"]


def test_a_child_is_found_by_its_name(facade: Facade) -> None:
    (parent,) = facade.add("parent")
    twins = facade.add("twin", "twin", "single", parents=[parent])
    assert parent.get_child_by_name("single") == twins[2]
    with pytest.raises(ValueError, match="More than one child named twin"):
        parent.get_child_by_name("twin")
    with pytest.raises(ValueError, match="No child named nobody"):
        parent.get_child_by_name("nobody")


def test_a_workflow_is_copied_with_its_edges(facade: Facade) -> None:
    first, second = facade.add("first", "second", workflow="template", data={"x": [1]})
    second.set_parents([first])
    first.update_state("RUN_DONE")
    copied = facade.dag.wf_from_template("template", "new", second={"args": "--other"})
    assert list(copied.values_list("name", "state", "args")) == [
        ("first", "CREATED", ""),
        ("second", "CREATED", "--other"),
    ]
    a, b = copied
    assert (facade.names(b.get_parents()), b.get_parents()[0] == a, a.data) == (["first"], True, {"x": [1]})
    assert "copied from the workflow template" in a.state_history
    for source, new in (("nothing", "newer"), ("template", "new")):
        with pytest.raises(ValueError, match="workflow"):
            facade.dag.wf_from_template(source, new)


def test_a_clone_shares_no_data_with_its_original(facade: Facade) -> None:
    (job,) = facade.add("a", data={"x": []}, environ_vars={"A": "1:B=2"})
    copy = facade.dag.clone(facade.BalsamJob.objects.get(), name="b", num_nodes=2)
    copy.data["x"].append(1)
    copy.save()
    read = facade.BalsamJob.objects.get(name="b")
    assert (read.num_nodes, read.data, job.data, read.pk != job.pk) == (2, {"x": [1]}, {"x": []}, True)
    assert facade.store.job(read.pk).environ_vars == {"A": "1:B=2"}
    with pytest.raises(ValueError, match="Invalid field name: nam"):
        facade.dag.clone(job, nam="b")


@pytest.mark.parametrize("key", [None, UUID(int=5)])
def test_a_job_whose_key_is_changed_is_saved_as_a_copy(facade: Facade, key: UUID | None) -> None:
    (parent,) = facade.add("parent")
    (job,) = facade.add("a", parents=[parent], data={"x": 1}, state="RUN_DONE")
    copy = facade.BalsamJob.objects.get(name="a")
    copy.pk, copy.name, copy.state = key, "b", "CREATED"
    assert facade.BalsamJob.objects.count() == 2
    copy.save()
    read = facade.BalsamJob.objects.get(name="b")
    assert read.pk == copy.pk != job.pk
    assert (read.data, read.get_parents_by_id()) == ({"x": 1}, [str(parent.pk)])
    assert list(read.get_state_times()) == ["CREATED"]
    job.refresh_from_db()
    assert (job.name, job.state) == ("a", "RUN_DONE")


# --- applications


@on_each_database
def test_an_application_is_added_changed_found_and_deleted(facade: Facade) -> None:
    apps = facade.models.ApplicationDefinition
    app = apps()
    app.name, app.executable, app.description = "sim.simfunc", "/bin/echo hello", "says hello"
    app.save()
    assert apps.objects.get(name="sim.simfunc").executable == "/bin/echo hello"
    found, created = apps.objects.get_or_create(name="sim.simfunc", executable="/bin/echo hello")
    assert (found, created, found.pk) == (app, False, app.pk)
    found.executable = "/bin/false"
    found.save()
    app.refresh_from_db()
    assert app.executable == "/bin/false"
    assert "true" in [each.name for each in apps.objects.all()]
    wanted = apps.objects.filter(name__contains=".simfunc")
    assert wanted
    assert [each.name for each in wanted.iterator()] == ["sim.simfunc"]
    assert wanted.delete() == (1, {"core.ApplicationDefinition": 1})
    with pytest.raises(apps.DoesNotExist):
        apps.objects.get(name="sim.simfunc")


def test_an_application_of_a_taken_name_is_refused(facade: Facade) -> None:
    from django.db.utils import IntegrityError

    with pytest.raises(IntegrityError, match="there is an application named 'true' already"):
        facade.models.ApplicationDefinition(name="true", executable="x").save()
    assert facade.dag.add_app("true", "/bin/other").executable == "/bin/other"
    assert facade.dag.get_apps().get(name="true").executable == "/bin/other"
    with pytest.raises(ValueError, match="no program '/no/such'"):
        facade.dag.add_app("x", "/no/such --flag", checkexe=True)


def test_an_application_may_get_its_executable_after_it_was_made(facade: Facade) -> None:
    apps = facade.models.ApplicationDefinition
    app, created = apps.objects.get_or_create(name="square")
    assert (app.executable, created) == ("", True)
    app.executable = "/opt/square"
    app.save()
    found, created = apps.objects.get_or_create(name="square")
    assert (found.executable, created) == ("/opt/square", False)
    with pytest.raises(facade.models.InvalidFieldError, match="name cannot be ''"):
        apps(executable="/bin/x").save()


@pytest.mark.parametrize("attribute", ["pk", "id"])
def test_an_application_whose_key_is_changed_is_saved_as_a_copy(facade: Facade, attribute: str) -> None:
    apps = facade.models.ApplicationDefinition.objects
    app = apps.get(name="true")
    setattr(app, attribute, None)
    app.name = "again"
    app.save()
    assert set(apps.values_list("name", "executable")) >= {("true", app.executable), ("again", app.executable)}


def test_a_job_may_name_its_application_by_the_object_and_before_there_is_one(facade: Facade) -> None:
    app = facade.models.ApplicationDefinition.objects.get(name="true")
    assert facade.BalsamJob(application=app).application == "true"
    facade.BalsamJob(name="early", application="later").save()
    with pytest.raises(facade.models.ApplicationDefinition.DoesNotExist):
        facade.dag.add_job(name="a", workflow="w", application="later")
    (job,) = facade.BalsamJob.objects.all()
    assert "NO APPLICATION MATCHING later" in str(job)
    facade.dag.add_app("later", "~/bin/x -v", preprocess="/pre", postprocess="/post", envscript="/no/such")
    job.args = "--a 1"
    assert (job.app_cmd, job.preprocess, job.postprocess, job.envscript) == (
        f"{Path('~').expanduser()}/bin/x -v --a 1",
        "/pre",
        "/post",
        None,
    )
    with pytest.raises(facade.models.NoApplication):
        facade.BalsamJob().get_application()


def test_what_a_job_runs_with_and_leaves_behind(facade: Facade) -> None:
    (parent,) = facade.add("parent")
    (job,) = facade.add("a", parents=[parent], threads_per_rank=4, ranks_per_node=2, threads_per_core=2,
                        environ_vars="A=1:B=x=y")  # fmt: skip
    envs = job.get_envs(timeout=True)
    assert {name: envs[name] for name in ("A", "B", "BALSAM_JOB_ID", "OMP_NUM_THREADS", "BALSAM_JOB_TIMEOUT")} == {
        "A": "1",
        "B": "x=y",
        "BALSAM_JOB_ID": str(job.pk),
        "OMP_NUM_THREADS": "4",
        "BALSAM_JOB_TIMEOUT": "TRUE",
    }
    assert json.loads(envs["BALSAM_PARENT_IDS"]) == [str(parent.pk)]
    assert "BALSAM_JOB_ERROR" not in envs
    assert (envs["PATH"], job.required_num_cores) == (os.environ["PATH"], 4)
    with pytest.raises(ValueError, match=r"a\.out not found in working directory"):
        job.read_file_in_workdir("a.out")
    Path(job.working_directory).mkdir(parents=True)
    Path(job.working_directory, "a.out").write_text("9\n")
    assert job.read_file_in_workdir("a.out") == "9\n"


def test_a_job_goes_through_json_and_back(facade: Facade) -> None:
    (job,) = facade.add("a", data={"x": 1}, environ_vars="A=1")
    again = facade.BalsamJob.deserialize(job.serialize())
    assert (again, again.name, again.data, again.environ_vars) == (job, "a", {"x": 1}, "A=1")


def test_the_models_are_found_under_their_older_path(facade: Facade) -> None:
    import balsam.service.models as older
    from balsam.service import models

    assert (models.BalsamJob, older.END_STATES) == (facade.BalsamJob, facade.models.END_STATES)


# --- reports


def test_reports_count_what_histories_say(facade: Facade) -> None:
    for job in facade.add("a", "b"):
        job.update_state("RUNNING")
        job.update_state("RUN_DONE" if job.name == "a" else "RUN_ERROR")
    models = facade.models
    times = models.process_job_times()
    assert {state: len(moments) for state, moments in times.items()} == {
        "CREATED": 2,
        "RUNNING": 2,
        "RUN_DONE": 1,
        "RUN_ERROR": 1,
    }
    moments, running_now = models.utilization_report(times)
    assert (len(moments), list(running_now)[-1], max(running_now)) == (4, 0, 1)
    assert list(models.throughput_report(times)[1]) == [1]
    assert list(models.job_waiting_report(times)[1])[-2:] == [1, 0]
    edges, counts = models.error_report(times)
    assert (len(edges), list(counts)) == (2, [1])
    assert models.error_report({}) is None
    assert facade.BalsamJob.objects.get(name="a").runtime_seconds >= 0
    assert facade.BalsamJob.objects.get(name="b").runtime_seconds is None


def test_the_older_report_counts_seconds_from_a_state(facade: Facade) -> None:
    from balsam.service.models import process_job_times

    (job,) = facade.add("a")
    job.update_state("RUNNING")
    since_running = process_job_times(state0="RUNNING")
    assert since_running["RUNNING"] == [0.0]
    assert since_running["CREATED"][0] <= 0.0 == process_job_times()["CREATED"][0]
    with pytest.raises(ValueError, match="no job has been FAILED"):
        process_job_times(state0="FAILED")
