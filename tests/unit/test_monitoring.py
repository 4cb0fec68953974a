"""One look at a site: what is read, and how it is put into words."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

import pytest

from balsam_core.monitoring import reading
from balsam_core.monitoring.reading import Watch, read_jobs, read_snapshot
from balsam_core.monitoring.snapshot import Rate, Snapshot, View
from balsam_core.monitoring.text import Part, Table, chosen, duration, fitted, heading, printable, table
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End
from balsam_core.state.store import Store, open_store, sqlite_url
from balsam_core.state.tables import events
from tests.helpers import MACHINE, claim, finish, make_launcher, make_request, only, put, running, temporary_store


def look_at(store: Store, view: View = View()) -> Snapshot:  # noqa: B008 frozen
    """One look, without what was seen before."""
    return read_snapshot(store, view, MACHINE)


def names(store: Store, view: View) -> list[str]:
    """The jobs of a page."""
    return [line.name for line in read_jobs(store, view).page]


@pytest.fixture
def worked(tmp_path: Path, each_database: str) -> Store:
    """A site with a launcher of two nodes; jobs that run, failed, finished and wait."""
    store = temporary_store(tmp_path)
    launcher = make_launcher(store, nodes=2, job_mode="mpi")
    now = time.time()
    for name, end in (("ok", End.DONE), ("bad", End.ERROR), ("worse", End.ERROR)):
        job = running(store, launcher, name)
        finish(store, launcher, job, end, at=now - 5, message=f"nonzero return 1: {name}" if end is End.ERROR else "")
    running(store, launcher, "packed", node_packing_count=4)
    running(store, launcher, "wide", num_nodes=1, ranks_per_node=8)
    put(store, State.PREPROCESSED, "waits", workflow="other")
    return store


def test_a_look_tells_states_rate_and_what_each_launcher_and_node_does(worked: Store) -> None:
    look = look_at(worked)
    states = {State.PREPROCESSED: 1, State.RUNNING: 2, State.JOB_FINISHED: 1, State.FAILED: 2}
    assert (look.jobs.states, look.jobs.total) == (states, 6)
    assert (look.rate, look.rate.per_minute) == (Rate({State.JOB_FINISHED: 1, State.FAILED: 2}, 60.0), 3.0)
    (one,) = look.launchers
    assert (one.nodes, one.busy, one.running, one.held, one.status) == (2, 1.25, 2, 0, "live")
    assert [(node.node, node.running, node.busy) for node in look.nodes] == [("n1", 2, 1.25)]
    assert (look.nodes_busy, look.nodes_held) == (1.25, 2)


def test_what_runs_is_listed_first_and_what_has_ended_last(worked: Store) -> None:
    assert names(worked, View()) == ["packed", "wide", "waits", "bad", "worse", "ok"]
    assert names(worked, View(rows=2)) == ["packed", "wide"]


def test_every_page_goes_on_where_the_one_before_ended(worked: Store) -> None:
    for wanted in (JobFilter(), JobFilter(name="a"), JobFilter(workflow="te*", states=(State.FAILED, State.RUNNING))):
        whole = names(worked, View(wanted))
        assert [name for at in range(len(whole)) for name in names(worked, View(wanted, at, 1))] == whole
        assert names(worked, View(wanted, len(whole))) == []


def test_a_filter_of_states_counts_all_states_and_lists_its_own(worked: Store) -> None:
    seen = read_jobs(worked, View(JobFilter(workflow="test", states=(State.FAILED,))))
    assert (seen.states[State.RUNNING], seen.total, [line.name for line in seen.page]) == (2, 2, ["bad", "worse"])


@pytest.mark.parametrize("few", [0, 20_000], ids=["many", "few"])
def test_a_part_of_a_name_chooses_the_same_jobs_however_many_there_are(
    worked: Store, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(reading, "_FEW", few)
    seen = read_jobs(worked, View(JobFilter(name="WOR")))
    assert (seen.states, [line.name for line in seen.page]) == ({State.FAILED: 1}, ["worse"])
    assert [(one.application, one.jobs, one.message) for one in seen.failing] == [
        ("true", 1, "nonzero return 1: worse")
    ]
    assert names(worked, View(JobFilter(name="a"))) == ["packed", "waits", "bad"]
    assert look_at(worked, View(JobFilter(name="bad"))).rate.ended == {State.FAILED: 1}


def test_failing_applications_are_told_with_the_newest_reason(worked: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(worked, State.FAILED, "scripted", application="scripted")
    told = read_jobs(worked, View())
    assert [(one.application, one.jobs, one.message) for one in told.failing] == [
        ("true", 2, "nonzero return 1: worse"),
        ("scripted", 1, "by hand"),
    ]
    assert told.failing_known
    monkeypatch.setattr(reading, "_FAILED_JOBS", 2)
    assert not read_jobs(worked, View()).failing_known


def test_a_rate_of_more_events_than_are_looked_at_is_that_of_their_time(
    worked: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_RATE_EVENTS", 2)
    now = time.time()
    with worked.database.write() as tx:
        for _ in range(3):
            row = {"job_id": UUID(int=1), "attempt": 1, "from_state": "RUNNING", "to_state": "FAILED", "at": now - 10}
            tx.execute(events.insert().values(**row, message=""))
    rate = look_at(worked).rate
    assert rate.seconds == pytest.approx(10, abs=5)
    assert rate.seconds > 9


def test_jobs_are_read_again_only_when_the_database_or_the_view_has_changed(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    job_id = put(store)
    watch = Watch(store, MACHINE)
    first = watch.look(View()).jobs
    assert watch.look(View()).jobs is first
    assert watch.look(View(rows=1)).jobs is not first
    seen = watch.look(View()).jobs
    other = open_store(sqlite_url(tmp_path / "balsam.db"))
    other.kill(only(job_id))
    other.database.close()
    killed = watch.look(View()).jobs
    assert (seen.states, killed.states) == ({State.CREATED: 1}, {State.USER_KILLED: 1})
    store.delete_jobs([job_id])
    watch.forget()
    assert watch.look(View()).jobs.total == 0


def test_a_launcher_whose_process_is_gone_is_not_live_and_its_nodes_are_not_held(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store, pid=2**22 - 1, nodes=3)
    put(store, State.PREPROCESSED)
    claim(store, launcher)
    look = look_at(store)
    assert [(one.status, one.running, one.held) for one in look.launchers] == [
        ("lease expired: its process is gone", 0, 1)
    ]
    assert look.nodes_held == 0
    assert "launchers: 0 live, 1 expired" in heading(look, "s")[3]


def test_batch_jobs_that_wait_or_run_are_told(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    store.batches.record("slurm", MACHINE, lambda number: make_request(queue="debug"), lambda open_jobs: None)
    look = look_at(store)
    (one,) = look.batch_jobs
    assert (one.number, one.name, one.state, one.nodes, one.minutes_left) == (1, "qlaunch1", "SUBMITTING", 2, None)
    assert table(look, Part.BATCH_JOBS).rows == (
        ("1", "qlaunch1", "SUBMITTING", "debug", "2", "30", "", "0", "", "never"),
    )
    assert heading(look, "s")[3] == "launchers: 0 live  batch jobs: 1 SUBMITTING"


def test_the_heading_fits_a_terminal_and_tells_the_filter(worked: Store) -> None:
    wanted = JobFilter(name="o", workflow="t*", states=(State.FAILED,), tags={"a": "", "b": "c"}, ids=["1f"])
    assert chosen(wanted) == "--name o --id 1f --wf t* --state FAILED --tag a --tag b=c"
    look = look_at(worked)
    assert len(heading(look, "s", 1)) > 5
    lines = heading(look, "/a/long/" + "x" * 90, 80)
    assert lines[0].startswith("balsam top  /a/long/xxx")
    assert lines[0].endswith(" UTC")
    assert [line for line in lines if len(line) > 80] == []
    assert lines[1:] == [
        "6 jobs: 1 PREPROCESSED, 2 RUNNING, 1 JOB_FINISHED, 2 FAILED",
        "rate: 3 jobs ended a minute (1 JOB_FINISHED, 2 FAILED in 60 s)",
        "launchers: 1 live  nodes: 1.2 of 2 busy [######....]  batch jobs: none",
        "failing: true 2",
    ]
    assert "no jobs match the filter" in heading(look_at(worked, View(wanted)), "s")


def test_every_table_has_a_key_for_each_row(worked: Store) -> None:
    look = look_at(worked)
    assert {part: len(table(look, part).rows) for part in Part} == {
        Part.JOBS: 6,
        Part.LAUNCHERS: 1,
        Part.NODES: 1,
        Part.BATCH_JOBS: 0,
        Part.FAILING: 1,
    }
    assert all(len(table(look, part).keys) == len(table(look, part).rows) for part in Part)
    assert table(look, Part.FAILING).rows[0][3] == "nonzero return 1: worse"


def test_a_table_is_cut_to_fit_in_its_widest_columns() -> None:
    wide = Table(("a", "name"), (("1", "x" * 50), ("2", "y")), ("1", "2"))
    cut, widths = fitted(wide, 20)
    assert (widths, cut.rows) == ([1, 15], (("1", "x" * 14 + "~"), ("2", "y")))
    assert fitted(wide, 100)[0] == wide


def test_text_of_jobs_does_nothing_to_the_terminal() -> None:
    assert printable("a\x1b[31mb\r\n\tc\x07") == "a[31mb\n\tc"


def test_times_are_short() -> None:
    assert [duration(seconds) for seconds in (-1, 59, 60, 7800, 97200)] == ["0s", "59s", "1m", "2h10m", "1d3h"]
