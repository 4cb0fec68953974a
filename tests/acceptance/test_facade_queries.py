"""Queries in the words of Balsam 0.5, on each database: what they find, and how often they ask."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.facade import Facade, statements

pytestmark = pytest.mark.usefixtures("each_database")

Query = Callable[[Any], Any]


@pytest.fixture
def four(facade: Facade) -> Facade:
    """Jobs `task_1`, `Task_2`, `other%` and `x`."""
    facade.add("task_1", num_nodes=1, description="first")
    facade.add("Task_2", num_nodes=2, ranks_per_node=4, workflow="v")
    facade.add("other%", num_nodes=3, wall_time_minutes=30)
    facade.add("x", num_nodes=4, environ_vars={"A": "1", "B": "/x:/y"}, application="")
    return facade


_LOOKUPS: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "x"}, ["x"]),
    ({"name__exact": "task_1"}, ["task_1"]),
    ({"name__iexact": "TASK_1"}, ["task_1"]),
    ({"name__contains": "task"}, ["task_1"]),
    ({"name__contains": "%"}, ["other%"]),
    ({"name__icontains": "TASK_"}, ["task_1", "Task_2"]),
    ({"name__startswith": "t"}, ["task_1"]),
    ({"name__istartswith": "T"}, ["task_1", "Task_2"]),
    ({"name__endswith": "_2"}, ["Task_2"]),
    ({"name__iendswith": "K_1"}, ["task_1"]),
    ({"name__in": ["x", "task_1", "nobody"]}, ["task_1", "x"]),
    ({"name__regex": "^[tT]ask_.$"}, ["task_1", "Task_2"]),
    ({"name__iregex": "^TASK_1$"}, ["task_1"]),
    ({"num_nodes__gt": 2}, ["other%", "x"]),
    ({"num_nodes__gte": "3"}, ["other%", "x"]),
    ({"num_nodes__lt": 2}, ["task_1"]),
    ({"num_nodes__lte": 2}, ["task_1", "Task_2"]),
    ({"num_nodes__range": (2, 3)}, ["Task_2", "other%"]),
    ({"wall_time_minutes": 1}, ["task_1", "Task_2", "x"]),
    ({"wall_time_minutes__lte": 29}, ["task_1", "Task_2", "x"]),
    ({"exit_code__isnull": True, "name": "x"}, ["x"]),
    ({"exit_code__isnull": False}, []),
    ({"queued_launch": None, "num_nodes": 4}, ["x"]),
    ({"state": "CREATED", "workflow": "v"}, ["Task_2"]),
    ({"state__in": []}, []),
    ({"wait_for_parents": True, "post_error_handler": False, "name": "x"}, ["x"]),
    ({"state_history__contains": "CREATED", "name": "x"}, ["x"]),
    ({"parents": "[]", "name": "x"}, ["x"]),
    ({"lock": "", "name": "x"}, ["x"]),
    ({"environ_vars": "A=1:B=/x:/y"}, ["x"]),
    ({"environ_vars": {}, "workflow": "v"}, ["Task_2"]),
    ({"environ_vars__contains": "A=1:B=/x:/y"}, ["x"]),
    ({"environ_vars__endswith": "/y"}, ["x"]),
    ({"environ_vars__regex": "^$", "workflow": "v"}, ["Task_2"]),
]


def test_a_look_up_finds_what_it_says(four: Facade) -> None:
    found = [(lookups, four.names(four.BalsamJob.objects.filter(**lookups))) for lookups, _ in _LOOKUPS]
    assert found == _LOOKUPS


def test_what_filter_finds_and_what_exclude_finds_are_all(four: Facade) -> None:
    for lookups in ({"exit_code": 1}, {"name__contains": "a", "num_nodes": 1}, {"data__x": 1}):
        found = four.names(four.BalsamJob.objects.filter(**lookups))
        others = four.names(four.BalsamJob.objects.exclude(**lookups))
        assert sorted(found + others) == sorted(four.names(four.BalsamJob.objects.all())), lookups


def test_q_objects_are_joined_and_negated(four: Facade) -> None:
    from django.db.models import Q

    wide = Q(num_nodes__gt=3) | Q(ranks_per_node__gt=1)
    assert four.names(four.BalsamJob.objects.filter(wide)) == ["Task_2", "x"]
    assert four.names(four.BalsamJob.objects.filter(~wide)) == ["task_1", "other%"]
    assert four.names(four.BalsamJob.objects.filter(wide & Q(workflow="v"))) == ["Task_2"]
    assert four.names(four.BalsamJob.objects.exclude(wide, name="x")) == ["task_1", "Task_2", "other%"]
    assert four.names(four.BalsamJob.objects.filter(Q(), name="x")) == ["x"]


def test_queries_are_united_and_intersected(four: Facade) -> None:
    some = four.BalsamJob.objects.filter(num_nodes__lt=3)
    other = four.BalsamJob.objects.filter(name__in=["x", "Task_2"])
    assert four.names(some | other) == ["task_1", "Task_2", "x"]
    assert four.names(some & other) == ["Task_2"]
    assert four.names(some.union(other)) == ["task_1", "Task_2", "x"]
    assert four.names(some[:1] | other[1:]) == ["task_1", "x"]


def test_the_order_is_the_one_that_was_asked_for(four: Facade) -> None:
    jobs = four.BalsamJob.objects
    assert [four.names(jobs.order_by(*order)) for order in ((), ("-num_nodes",), ("-workflow", "-num_nodes"))] == [
        ["task_1", "Task_2", "other%", "x"],
        ["x", "other%", "Task_2", "task_1"],
        ["x", "other%", "task_1", "Task_2"],
    ]


def test_the_last_and_the_opposite_order(four: Facade) -> None:
    jobs = four.BalsamJob.objects
    with statements(four.store) as sent:
        found = [jobs.last().name, jobs.order_by("-num_nodes").last().name, jobs.latest("num_nodes").name]
        assert [*found, jobs.earliest("num_nodes").name] == ["x", "task_1", "x", "task_1"]
    assert len(sent) == 4
    assert four.names(jobs.reverse()) == ["x", "other%", "Task_2", "task_1"]
    assert four.names(jobs.order_by("-workflow", "num_nodes").reverse()) == ["Task_2", "x", "other%", "task_1"]
    assert set(four.names(jobs.order_by("?"))) == {"task_1", "Task_2", "other%", "x"}
    with pytest.raises(four.BalsamJob.DoesNotExist):
        jobs.filter(name="nobody").latest("name")


def test_slices_are_taken_by_the_database(four: Facade) -> None:
    query = four.BalsamJob.objects.order_by("num_nodes")
    assert [four.names(part) for part in (query[:2], query[1:3], query[2:], query[1:][1:2], query[2:2])] == [
        ["task_1", "Task_2"],
        ["Task_2", "other%"],
        ["other%", "x"],
        ["other%"],
        [],
    ]
    assert (query[0].name, query[3].name) == ("task_1", "x")
    assert four.names(query[::3]) == ["task_1", "x"]
    with pytest.raises(IndexError):
        query[4]
    with pytest.raises(ValueError, match="Negative indexing"):
        query[-1]
    for change in (lambda: query[:2].filter(name="x"), lambda: query[:2].update(args=""), query[:2].delete):
        with pytest.raises(TypeError, match="once a slice has been taken"):
            change()


def test_values_are_dictionaries_tuples_or_flat(four: Facade) -> None:
    query = four.BalsamJob.objects.filter(num_nodes__gt=2)
    assert list(query.values("name", "num_nodes")) == [
        {"name": "other%", "num_nodes": 3},
        {"name": "x", "num_nodes": 4},
    ]
    assert list(query.values_list("name", "wall_time_minutes")) == [("other%", 30), ("x", 1)]
    assert list(query.values_list("environ_vars", flat=True)) == ["", "A=1:B=/x:/y"]
    assert [row.name for row in query.values_list("name", named=True)] == ["other%", "x"]
    every = four.BalsamJob.objects.filter(name="x").values()[0]
    assert set(every) == set(four.BalsamJob._meta.by_name)
    assert (every["parents"], every["lock"], every["state"]) == ("[]", "", "CREATED")
    assert "CREATED]" in every["state_history"]


def test_distinct_values_and_counts_by_group(four: Facade) -> None:
    from django.db.models import Count, Max, Sum

    jobs = four.BalsamJob.objects
    assert sorted(row["workflow"] for row in jobs.order_by().values("workflow").distinct()) == ["v", "w"]
    assert list(jobs.values("workflow").annotate(jobs=Count("pk")).order_by("-jobs")) == [
        {"workflow": "w", "jobs": 3},
        {"workflow": "v", "jobs": 1},
    ]
    assert list(jobs.values_list("workflow").annotate(n=Count("pk")).filter(n__gt=1)) == [("w", 3)]
    assert list(jobs.order_by("-workflow").values("workflow").annotate(Count("state"))) == [
        {"workflow": "w", "state__count": 3},
        {"workflow": "v", "state__count": 1},
    ]
    assert list(jobs.order_by("num_nodes").values_list("application", flat=True).distinct()[:2]) == ["true", "true"]
    assert list(jobs.values("data__x").annotate(n=Count("pk"))) == [{"data__x": None, "n": 4}]
    assert jobs.values("workflow").distinct().count() == 2
    assert jobs.aggregate(Max("num_nodes"), nodes=Sum("num_nodes")) == {"num_nodes__max": 4, "nodes": 10}
    assert jobs.aggregate(n=Count("workflow", distinct=True), all=Count("*")) == {"n": 2, "all": 4}


def test_expressions_are_worked_out_by_the_database(four: Facade) -> None:
    from django.db.models import CharField, F, Value
    from django.db.models.functions import Cast, Concat, Length, Substr, Upper

    jobs = four.BalsamJob.objects
    assert four.names(jobs.filter(ranks_per_node__gt=F("num_nodes"))) == ["Task_2"]
    assert [job.ranks for job in jobs.annotate(ranks=F("num_nodes") * F("ranks_per_node"))] == [1, 8, 3, 4]
    loud = jobs.filter(name="x").annotate(loud=Concat(Upper("name"), Value("!")), size=Length("name"))
    assert list(loud.values_list("loud", "size")) == [("X!", 1)]
    (first,) = four.BalsamJob.objects.filter(name="x")
    head = jobs.annotate(head=Substr(Cast("pk", CharField(max_length=36)), 1, 1))
    assert "x" in four.names(head.filter(head__in=str(first.pk)[0]))


def test_one_answer_is_one_statement_and_is_kept(four: Facade) -> None:
    query = four.BalsamJob.objects.filter(num_nodes__gte=1).exclude(name="x").order_by("-name")
    answers: list[Callable[[], Any]] = [
        lambda: list(query.all()),
        lambda: query.count(),
        lambda: query.exists(),
        lambda: query.first(),
        lambda: len(query.all()),
        lambda: bool(query.all()),
        lambda: query[1:2][0],
        lambda: query.get(name="task_1"),
        lambda: list(query.values("name", "state_history", "parents", "lock")),
        lambda: list(four.BalsamJob.objects.filter(pk__in=query[:2])),
        lambda: query.aggregate(),
        lambda: list(query.iterator()),
    ]
    for number, answer in enumerate(answers[:-2] + answers[-1:]):
        with statements(four.store) as sent:
            answer()
        assert len(sent) == 1, (number, sent)
    with statements(four.store) as sent:
        assert (len(query), bool(query), query[0], query.count(), "task_1" in four.names(query)) == (
            3,
            True,
            query[0],
            3,
            True,
        )
    assert len(sent) == 1, sent


def test_building_a_query_asks_nothing(four: Facade) -> None:
    with statements(four.store) as sent:
        query = four.BalsamJob.objects.filter(name="x").exclude(state="FAILED").order_by("name")[:3]
        query.values_list("pk", flat=True), query | query, four.BalsamJob.objects.none()
    assert sent == []
    assert list(four.BalsamJob.objects.none()) == []


def test_distinct_jobs_are_all_jobs(four: Facade) -> None:
    jobs = four.BalsamJob.objects.filter(num_nodes__gt=1).distinct()
    assert (four.names(jobs), jobs.count()) == (["Task_2", "other%", "x"], 3)


def test_get_wants_exactly_one_and_says_which_were_meant(four: Facade) -> None:
    jobs = four.BalsamJob
    with pytest.raises(jobs.DoesNotExist, match="no BalsamJob matches name='nobody'"):
        jobs.objects.get(name="nobody")
    with pytest.raises(jobs.MultipleObjectsReturned, match="several BalsamJob match"):
        jobs.objects.get(workflow="w")
    assert jobs.objects.get(pk=jobs.objects.get(name="x").pk).name == "x"


def test_a_pickled_query_is_what_it_found(four: Facade) -> None:
    jobs = four.BalsamJob.objects
    found = pickle.loads(pickle.dumps(jobs.filter(workflow="w").order_by("-name")))
    with statements(four.store) as sent:
        assert four.names(found) == four.names(jobs.filter(workflow="w").order_by("-name"))
    assert len(sent) == 1
    assert found.filter(name="x").count() == jobs.filter(workflow="w", name="x").count()
    names = jobs.order_by("name").values_list("name", flat=True)
    assert pickle.loads(pickle.dumps(names)) == list(names)
    assert four.names(copy.deepcopy(jobs.order_by("name"))) == list(names)


def test_ids_are_looked_up_as_ids_as_text_and_in_part(four: Facade) -> None:
    job = four.BalsamJob.objects.get(name="x")
    for lookups in (
        {"pk": job.pk},
        {"job_id": str(job.pk)},
        {"pk": job.pk.hex},
        {"pk": job},
        {"job_id__contains": str(job.pk)[4:12]},
        {"job_id__startswith": str(job.pk)[:8]},
        {"pk__in": [str(job.pk), uuid4()]},
        {"pk__in": [job]},
    ):
        assert four.names(four.BalsamJob.objects.filter(**lookups)) == ["x"], lookups
    with pytest.raises(four.models.ValidationError, match="'nonsense' is no id"):
        four.BalsamJob.objects.filter(pk="nonsense")


def test_a_list_of_thousands_is_one_statement(four: Facade) -> None:
    job = four.BalsamJob.objects.get(name="x")
    many = [uuid4() for _ in range(40_000)]
    with statements(four.store) as sent:
        assert four.names(four.BalsamJob.objects.filter(pk__in=[*many, job.pk])) == ["x"]
        assert four.names(four.BalsamJob.objects.filter(num_nodes__in=range(4, 2000))) == ["x"]
        assert four.names(four.BalsamJob.objects.filter(name__in=[*map(str, many), "x", 'a"b', "ä"])) == ["x"]
    assert len(sent) == 3


_WRONG: list[tuple[Query, str]] = [
    (lambda jobs: jobs.filter(nam="x"), "BalsamJob has no field 'nam'; did you mean 'name'?"),
    (lambda jobs: jobs.exclude(name__contain="x"), "no look-up 'contain' in 'name__contain'; did you mean"),
    (lambda jobs: jobs.order_by("-stat"), "did you mean 'state'?"),
    (lambda jobs: jobs.values("workflo"), "did you mean 'workflow'?"),
    (lambda jobs: jobs.values_list("name__x"), "name holds no JSON"),
    (lambda jobs: jobs.filter(environ_vars__gt="A"), "environ_vars has exact, isnull and those of texts only"),
    (lambda jobs: jobs.filter(state_history__regex="A"), "state_history has contains, icontains"),
    (lambda jobs: jobs.filter("x"), "filter takes look-ups and Q objects, not 'x'"),
    (lambda jobs: jobs.filter(data__x__gt=[1]), "compares with a number or a text"),
    (lambda jobs: jobs.update(nam="x"), "no field 'nam' can be changed; did you mean 'name'?"),
    (lambda jobs: jobs.update(lock="me:1"), "acquire jobs with BalsamJob.source.acquire"),
]


def test_a_name_that_there_is_not_is_a_field_error(facade: Facade) -> None:
    from django.core.exceptions import FieldError

    for query, words in _WRONG:
        with pytest.raises(FieldError) as caught:
            query(facade.BalsamJob.objects)
        assert words in str(caught.value)


_PATHS: list[tuple[dict[str, Any], list[str]]] = [
    ({"data__reward__gt": 0}, ["good"]),
    ({"data__reward__lte": 0}, ["bad"]),
    ({"data__reward": 1.5}, ["good"]),
    ({"data__reward__in": [1.5, -3]}, ["good", "bad"]),
    ({"data__reward__range": (-5, 5)}, ["good", "bad"]),
    ({"data__reward__isnull": False}, ["good", "bad", "text"]),
    ({"data__reward__isnull": True}, ["none"]),
    ({"data__reward": "high"}, ["text"]),
    ({"data__reward__gt": "a"}, ["text"]),
    ({"data__reward__startswith": "hi"}, ["text"]),
    ({"data__reward__icontains": "IG"}, ["text"]),
    ({"data__point__lr": 0.1}, ["good"]),
    ({"data__point__layers__1__gte": 16}, ["good"]),
    ({"data__point": {"lr": 0.1, "layers": [8, 16]}}, ["good"]),
    ({"data__done": True}, ["good"]),
    ({"data__done": False}, ["bad"]),
    ({"data__note": None}, ["text"]),
    ({"data__contains": {"done": True, "point": {"lr": 0.1}}}, ["good"]),
    ({"data__point__layers__contains": [16]}, ["good"]),
    ({"data__has_key": "done"}, ["good", "bad"]),
    ({"data__has_keys": ["done", "point"]}, ["good"]),
    ({"data__has_any_keys": ["note", "point"]}, ["good", "text"]),
    ({"data": {}}, ["none"]),
    ({"data__we ird.key": "ä"}, ["text"]),
    ({"tags__kind": "a"}, ["bad"]),
]


def test_paths_into_data_compare_by_type(facade: Facade) -> None:
    facade.add("good", data={"reward": 1.5, "point": {"lr": 0.1, "layers": [8, 16]}, "done": True})
    facade.add("bad", data={"reward": -3, "done": False}, tags={"kind": "a"})
    facade.add("text", data={"reward": "high", "note": None, "we ird.key": "ä"})
    facade.add("none")
    found = [(lookups, facade.names(facade.BalsamJob.objects.filter(**lookups))) for lookups, _ in _PATHS]
    assert found == _PATHS


def test_paths_into_data_are_read_and_ordered_by(facade: Facade) -> None:
    from django.db.models import Max

    for name, data in {
        "b": {"r": 2.5},
        "a": {"r": 10},
        "c": {"r": True},
        "d": {},
        "e": {"r": {"x": [1, None]}},
    }.items():
        facade.add(name, data=data)
    jobs = facade.BalsamJob.objects
    assert list(jobs.values_list("data__r", flat=True)) == [2.5, 10, True, None, {"x": [1, None]}]
    assert list(jobs.filter(name="e").values("data__r__x")) == [{"data__r__x": [1, None]}]
    assert facade.names(jobs.filter(data__r__gt=0).order_by("-data__r")) == ["a", "b"]
    assert jobs.aggregate(best=Max("data__r")) == {"best": 10}


def test_exclude_without_a_condition_excludes_nothing(four: Facade) -> None:
    from django.db.models import Q

    jobs = four.BalsamJob.objects
    assert (jobs.exclude().count(), jobs.exclude(Q()).count(), jobs.exclude(Q(), name="x").count()) == (4, 4, 3)


def test_a_slice_is_not_reversed_as_that_would_be_other_rows(four: Facade) -> None:
    with pytest.raises(TypeError, match="Cannot reverse a query once a slice has been taken"):
        four.BalsamJob.objects.all()[:2].reverse()


def test_defaults_that_can_be_called_are_called_for_a_found_row_too(four: Facade) -> None:
    jobs = four.BalsamJob.objects
    for name in ("x", "new"):
        jobs.update_or_create(name=name, defaults={"args": lambda: "made"})
        assert jobs.get(name=name).args == "made"


def test_an_aggregate_shows_no_annotation_of_single_rows(four: Facade) -> None:
    from django.db.models import F, Sum

    jobs = four.BalsamJob.objects.annotate(more=F("num_nodes") + 1)
    assert jobs.aggregate(nodes=Sum("more")) == {"nodes": 14}
    assert jobs.distinct().aggregate(nodes=Sum("more")) == {"nodes": 14}


def test_groups_and_distinct_rows_have_no_aggregate(four: Facade) -> None:
    from django.db.models import Count, Max
    from django.db.utils import NotSupportedError

    workflows = four.BalsamJob.objects.values("workflow")
    with pytest.raises(NotSupportedError, match="not of groups or distinct ones"):
        workflows.distinct().aggregate(Count("workflow"))
    with pytest.raises(NotSupportedError, match="not of groups or distinct ones"):
        workflows.annotate(jobs=Count("pk")).aggregate(Max("jobs"))


def test_q_objects_choose_among_groups(four: Facade) -> None:
    from django.db.models import Count, Q

    groups = four.BalsamJob.objects.order_by("workflow").values_list("workflow").annotate(n=Count("pk"))
    assert list(groups.filter(Q(n__gt=1))) == [("w", 3)]
    assert list(groups.filter(Q(n=1) | ~Q(n__lt=3))) == [("v", 1), ("w", 3)]
