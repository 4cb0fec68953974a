"""The numbers behind the plots, worked out by hand on small histories."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from balsam_core.analysis.balsam05 import error_report, process_job_times, throughput_report, utilization_report
from balsam_core.analysis.causes import cause_of, failures, read_failures
from balsam_core.analysis.charts import chart
from balsam_core.analysis.hours import Asked, Held, admits
from balsam_core.analysis.lanes import gantt
from balsam_core.analysis.moves import (
    Moved,
    RunChange,
    count_moves,
    count_runs,
    first_event_since,
    nodes_running,
    span_of,
)
from balsam_core.analysis.page import duration
from balsam_core.analysis.report import usage
from balsam_core.analysis.runs import Attempt, RunEvent, attempts, node_of, read_runs, read_runs_since
from balsam_core.analysis.scaling import scaling
from balsam_core.analysis.series import Utilization, available_nodes, busy_nodes, state_counts, throughput
from balsam_core.analysis.shares import node_shares
from balsam_core.analysis.span import Clock, Span
from balsam_core.analysis.text import as_text
from balsam_core.errors import JobSpecError
from balsam_core.state.claims import Limits
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End
from balsam_core.state.store import Store
from balsam_core.state.tables import events
from tests.helpers import NO_RERUNS, make_launcher, put, result_of, start_of, temporary_store

T0 = 1_000_000.0


@pytest.fixture
def store(tmp_path: Path, each_database: None) -> Store:
    """A store whose jobs were put into it before all that happens."""
    return temporary_store(tmp_path)


def ran(store: Store, start: float, end: float, name: str = "job", node: str = "n1", **fields: object) -> None:
    """A job that ran from `start` to `end` (seconds after T0), whose history begins at T0."""
    how = fields.pop("how", End.DONE)
    message = fields.pop("message", "")
    launcher = make_launcher(store)
    job_id = put(store, State.PREPROCESSED, name, **fields)
    (job,) = store.claim(launcher, Limits(max_nodes=99, serial=False), lambda _: [job_id])
    begun = [start_of(job, at=T0 + start, node=node)]
    ended = [result_of(job, how, at=T0 + end, message=message)]  # type: ignore[arg-type]  # an End
    store.report(launcher, begun, ended, NO_RERUNS)
    with store.database.write() as tx:
        tx.execute(events.update().where(events.c.at > T0 * 100).values(at=T0))


def test_the_mean_of_busy_nodes_is_exact_within_an_interval(store: Store) -> None:
    ran(store, 0, 10)
    ran(store, 5, 20, num_nodes=2)
    ran(store, 12, 14, node_packing_count=4)
    span = span_of(store, now=0, intervals=4)
    assert span == Span(T0, T0 + 20, 4)
    changes = count_runs(store, span)
    # In node-seconds: 5, 5 + 2*5, 2*5 + 2/4, 2*5; each interval has 5 s.
    assert busy_nodes(changes, span) == pytest.approx([1.0, 3.0, 2.1, 2.0])
    assert Utilization(span, busy_nodes(changes, span), [4.0] * 4).busy_node_hours == pytest.approx(40.5 / 3600)


def test_a_span_amid_the_history_knows_what_ran_before_it(store: Store) -> None:
    launcher = make_launcher(store)
    first, second, third = [put(store, State.PREPROCESSED, name) for name in "abc"]
    jobs = store.claim(launcher, Limits(), lambda _: [first, second, third])
    a, b, c = sorted(jobs, key=lambda job: job.name)
    _set_clock(store, 0)
    store.report(launcher, [start_of(a, at=T0), start_of(b, at=T0 + 5, node="n10")], [], NO_RERUNS)
    store.report(launcher, [], [result_of(a, at=T0 + 20)], NO_RERUNS)
    _set_clock(store, 20)
    store.report(launcher, [start_of(c, at=T0 + 25, node="n2")], [result_of(c, at=T0 + 35)], NO_RERUNS)
    _set_clock(store, 35)
    span = Span(T0 + 10, T0 + 40, 3)
    since = first_event_since(store, span.start)
    runs = read_runs_since(store, since)
    assert [(run.at - T0, run.node) for run in runs] == [(0, "n1"), (5, "n10"), (20, ""), (25, "n2"), (35, "")]
    shares = node_shares(attempts(runs, T0 + 40), span)
    assert list(shares.items()) == [("n1", [1.0, 0, 0]), ("n2", [0, 0.5, 0.5]), ("n10", [1.0, 1.0, 1.0])]
    busy = busy_nodes(count_runs(store, span, first_event=since), span, now_busy=nodes_running(store))
    assert busy == pytest.approx([2.0, 1.5, 1.5])


def test_an_event_since_a_time_is_there_for_every_time(store: Store) -> None:
    assert first_event_since(store, T0) == 0
    ran(store, 0, 10)
    with store.database.read() as tx:
        ids = [row.event_id for row in tx.execute(events.select().order_by(events.c.event_id))]
    assert first_event_since(store, T0 - 1) == ids[0]
    assert first_event_since(store, T0 * 100) == ids[-1] + 1


def _set_clock(store: Store, seconds: float) -> None:
    """What was recorded by the wall clock is of so many seconds after T0."""
    with store.database.write() as tx:
        tx.execute(events.update().where(events.c.at > T0 * 100).values(at=T0 + seconds))


def test_a_filter_chooses_whose_moves_are_counted(store: Store) -> None:
    ran(store, 0, 10, workflow="a")
    ran(store, 0, 30, workflow="b")
    wanted = JobFilter(workflow="a")
    span = span_of(store, wanted, now=0, intervals=1)
    assert span == Span(T0, T0 + 10, 1)
    assert busy_nodes(count_runs(store, span, wanted), span) == pytest.approx([1.0])
    assert throughput(count_moves(store, span, wanted), span).finished == [1]
    assert [run.at for run in read_runs(store, wanted)] == [T0, T0 + 10]


def test_while_a_job_runs_the_time_goes_on(store: Store) -> None:
    ran(store, 0, 10)
    put(store, State.RUNNING)
    assert span_of(store, now=T0 * 1e6).end == T0 * 1e6  # type: ignore[union-attr]  # there are events
    assert span_of(store, JobFilter(name="nothing"), now=0) is None


def test_available_nodes_are_shared_out_over_the_intervals_that_a_launcher_meets() -> None:
    span = Span(100.0, 140.0, 4)
    assert available_nodes([(95.0, 105.0, 2), (100.0, 130.0, 4)], span) == pytest.approx([5.0, 4.0, 4.0, 0.0])


def test_finished_and_failed_jobs_are_counted_by_interval() -> None:
    moves = [Moved(0, "RUN_DONE", "JOB_FINISHED", 3), Moved(1, "RUN_ERROR", "FAILED", 1)]
    made = throughput([*moves, Moved(1, "POSTPROCESSED", "JOB_FINISHED", 2)], Span(0.0, 7200.0, 2))
    assert (made.finished, made.failed, made.total, made.per_hour) == ([3, 2], [0, 1], [3, 5], [3.0, 2.0])


def test_jobs_in_each_state_are_what_came_less_what_went() -> None:
    moves = [Moved(0, "", "CREATED", 5), Moved(1, "CREATED", "PREPROCESSED", 4), Moved(2, "PREPROCESSED", "RUNNING", 1)]
    counted = state_counts(moves, Span(0.0, 3.0, 3))
    assert counted.jobs == {State.CREATED: [5, 1, 1], State.PREPROCESSED: [0, 4, 3], State.RUNNING: [0, 0, 1]}


def test_the_node_of_a_start_is_read_from_its_event(store: Store) -> None:
    ran(store, 1, 3, node="nid00001")
    assert list(attempts(read_runs(store), T0)) == [Attempt("true", "nid00001", 1.0, T0 + 1, T0 + 3, "RUN_DONE")]
    assert [node_of(text) for text in ("on n1, could not be started", "on n2", "by hand")] == ["n1", "n2", ""]


def run_events(*pairs: tuple[str, float, float | None], node: str = "n1") -> list[RunEvent]:
    """The begins and ends of attempts (job, start, end), in time."""
    begins = [RunEvent(job, start, node, "", "true", 1.0) for job, start, _ in pairs]
    ends = [RunEvent(job, end, "", "RUN_DONE", "true", 1.0) for job, _, end in pairs if end is not None]
    return sorted([*ends, *begins], key=lambda event: event.at)


def test_a_node_has_as_many_lanes_as_attempts_ran_on_it_at_once() -> None:
    runs = run_events(("a", 0, 10), ("b", 1, 4), ("c", 5, None))
    lanes = gantt(runs, 0, 20, now=20).nodes["n1"]
    bars = [[(bar.start, bar.end, bar.end_state) for bar in lane] for lane in lanes.lanes]
    assert bars == [[(0, 10, "RUN_DONE")], [(1, 4, "RUN_DONE"), (5, 20, "RUNNING")]]
    assert (lanes.attempts, lanes.busy_seconds) == (3, 28)


def test_attempts_too_short_to_be_seen_become_one_bar() -> None:
    runs = run_events(*((str(start), start, start + 1) for start in range(100)))
    lanes = gantt(runs, 0, 100, now=100, points=10).nodes["n1"]
    assert (len(lanes.lanes), lanes.attempts) == (1, 100)
    assert len(lanes.lanes[0]) <= 10


def test_nodes_are_named_in_the_order_of_their_numbers_and_those_left_out_are_counted() -> None:
    runs = [event for node in ("n10", "n9", "n11", "n12") for event in run_events((node, 0, 1), node=node)]
    made = gantt(sorted(runs, key=lambda event: event.at), 0, 1, now=1, max_nodes=2)
    assert (list(made.nodes), made.hidden) == (["n9", "n10"], 2)


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("nonzero return 1: Traceback:\n  File x\nValueError: 17 is odd\n", "nonzero return 1: ValueError: # is odd"),
        ("nonzero return 1, the disk of /p/data/wf/job_12345678 is full", "nonzero return 1, the disk of /... is full"),
        ("its parent fit [0123abcd] is FAILED", "a parent is FAILED"),
        ("auto_timeout_retry is off", "auto_timeout_retry is off"),
        ("", ""),
    ],
)
def test_what_differs_between_jobs_is_left_out_of_a_cause(message: str, cause: str) -> None:
    assert cause_of(message) == cause


def test_failed_jobs_are_grouped_by_the_last_thing_that_was_said_of_them() -> None:
    rows = [(1, "a", 1.0, "no 1"), (2, "b", 2.0, "no 2"), (1, "a", 3.0, ""), (3, "c", 4.0, ""), (2, "b", 5.0, "off: x")]
    found = [(group.cause, group.jobs, group.job_name) for group in failures(rows)]
    assert found == [("no 1", 1, "a"), ("off: x", 1, "b"), ("no message", 1, "c")]


def test_jobs_that_failed_and_then_ran_well_are_no_failures(store: Store) -> None:
    ran(store, 0, 1, how=End.ERROR, message="nonzero return 3: lost 1 file")
    ran(store, 0, 2, how=End.ERROR, message="nonzero return 3: lost 22 files\nlost 2 file")
    ran(store, 0, 2)
    (group,) = read_failures(store)
    assert (group.cause, group.jobs, group.first_at, group.last_at) == (
        "nonzero return 3: lost # file", 2, T0 + 1, T0 + 2,
    )  # fmt: skip


def test_node_hours_are_nodes_times_hours() -> None:
    assert Held(0.0, 1800.0, 4, 0).node_hours(now=9e9) == 2.0
    assert Held(0.0, None, 4, 0).node_hours(now=3600.0) == 4.0
    assert Asked("local 1", "ENDED", "", 3, 90, 0.0, 0.0).node_hours == 4.5


@pytest.mark.parametrize(
    ("wf_filter", "workflow", "admitted"),
    [
        *(("", "a", True), ("a", "a", True), ("a*", "abc", True), ("a[b]*", "a[b]c", True), ("a", "b", False)),
        *(("a?", "ab", False), ("abc", "a*", True), ("a*c", "*bc", True), ("a*", "b*", False), ("a*b", "a", False)),
    ],
)
def test_a_launcher_runs_the_workflows_that_its_filter_admits(wf_filter: str, workflow: str, admitted: bool) -> None:
    assert admits(wf_filter, workflow) is admitted


def test_scaling_compares_rates_with_those_of_the_smallest_launchers() -> None:
    launchers = [Held(0, 3600, 4, 36), Held(0, 3600, 1, 10), Held(0, 1800, 1, 10), Held(0, 60, 8, 0)]
    made = scaling(launchers, now=0)
    assert made.points == [(1, 10.0), (1, 20.0), (4, 36.0)]
    assert made.efficiency(4, 36.0) == pytest.approx(36 / 60)


def test_the_reports_of_balsam_05_have_its_shapes(store: Store) -> None:
    ran(store, 0, 10)
    ran(store, 5, 70, how=End.ERROR)
    ran(store, 6, 190, how=End.ERROR)
    data = process_job_times(store)
    zero = datetime(1970, 1, 12, 13, 46, 40)

    def at(*seconds: float) -> list[datetime]:
        return [zero + timedelta(seconds=second) for second in seconds]

    assert data["RUNNING"] == at(0, 5, 6)
    assert utilization_report(data) == (at(0, 5, 6, 10, 70, 190), [1, 2, 3, 2, 1, 0])
    assert throughput_report(data) == (at(10), [1])
    assert error_report(data) == (at(70, 130, 190, 250), [1, 0, 1])
    assert error_report({}) is None
    assert process_job_times(store, JobFilter(workflow="none")) == {}


@pytest.mark.parametrize(("seconds", "unit"), [(100, "seconds"), (600, "minutes"), (4 * 3600, "hours"), (5e5, "days")])
def test_the_unit_of_a_time_axis_suits_its_length(seconds: float, unit: str) -> None:
    assert Clock.of(0.0, seconds).label == f"{unit} since 1970-01-01 00:00:00 UTC"


def test_a_chart_without_anything_to_show_is_refused(store: Store) -> None:
    with pytest.raises(JobSpecError, match="nothing to plot"):
        chart(store, "states", now=0)
    with pytest.raises(JobSpecError, match="no launcher has finished a job"):
        chart(store, "scaling", now=0)


def test_a_chart_as_text_has_a_row_per_interval_and_a_bar() -> None:
    table = as_text(Utilization(Span(0.0, 7200.0, 2), [1.0, 2.0], [2.0, 2.0]))
    assert table.rows == [("60.00", "1.0", "2.0", "#" * 15), ("120.00", "2.0", "2.0", "#" * 30)]
    assert table.remark.startswith("busy 3.00 of 4.00 node-hours that launchers had: 75 %; minutes since 1970-01-01")


def test_attempts_are_summed_up_by_application_and_by_node() -> None:
    runs = [Attempt("a", "n1", 2.0, 0.0, 3600.0, "RUN_DONE"), Attempt("a", "n2", 0.5, 0.0, 1800.0, "RUN_ERROR")]
    applications, nodes = usage([*runs, Attempt("b", "n2", 4.0, 0.0, 3600.0, "RUN_DONE")])
    assert list(applications) == ["b", "a"]
    both = applications["a"]
    assert (both.attempts, both.mean, both.shortest, both.longest) == (2, 2700.0, 1800.0, 3600.0)
    assert (both.node_hours, both.ends) == (2.25, {"RUN_DONE": 1, "RUN_ERROR": 1})
    assert {name: one.node_hours for name, one in nodes.items()} == {"n2": 4.25, "n1": 2.0}


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.21, "3.2 s"), (250, "4 min 10 s"), (7500, "2 h 05 min"), (273600, "3 d 04 h")]
)
def test_a_duration_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_changes_without_a_net_effect_still_count_their_time() -> None:
    # Ten attempts of a second each, begun and ended within one interval of 20 s.
    assert busy_nodes([RunChange(0, 0, 0.0, -10.0)], Span(0.0, 20.0, 1)) == [0.5]
