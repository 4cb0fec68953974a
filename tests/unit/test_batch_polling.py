"""Batch jobs from their submission to their end, with a scheduler that the test plays."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from balsam_core.batch.asking import evidence_of
from balsam_core.batch.cancelling import cancel
from balsam_core.batch.submission import Wanted
from balsam_core.errors import (
    BalsamError,
    ConfigError,
    JobSpecError,
    PluginError,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
)
from balsam_core.models.batch import LaunchState
from balsam_core.plugins import Command, CommandResult
from balsam_core.settings import QueueSettings, SchedulerSettings, Settings, SiteSettings
from balsam_core.state.hosts import boot_id, process_clock
from balsam_core.state.tables import batch_jobs, polls
from tests.batching import GRACE_SECONDS, LEASE_SECONDS, Played, PlayedScheduler, PlayedShell, played_site
from tests.helpers import MACHINE, make_launcher, put, temporary_store

pytestmark = pytest.mark.usefixtures("each_database")

SUBMITTING, REJECTED, QUEUED, RUNNING, ENDED, CANCELLED, LOST = LaunchState
NO = CommandResult(("playsub",), 1, stderr="playsub: no such queue")
DOWN = CommandResult(("playstat",), 2, stderr="cannot connect to the controller")
GARBAGE = CommandResult(("playstat",), 3, stdout="<html>")
HANGS = CommandResult(("playsub",), -9, timed_out=True)
MISSING = CommandResult(("playsub",), 127, stderr="playsub: command not found")


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return played_site(tmp_path, temporary_store(tmp_path), monkeypatch)


def a_submitter_that_died(played: Played) -> None:
    """A crash between the submit command and its record."""
    with played.store.database.write() as tx:
        gone = {"state": "SUBMITTING", "scheduler_id": None, "submitter_clock": 1.0}
        tx.execute(batch_jobs.update().values(**gone))


def test_a_batch_job_is_recorded_before_its_command_runs_and_gets_the_scheduler_s_id(played: Played) -> None:
    put(played.store)
    job = played.submit(queue="debug", project="ada", sched_flags=("--x", "1 2"))
    assert (job.state, job.scheduler_id, job.queue, job.submitting) == (QUEUED, "7", "debug", False)
    script = played.site.qsubmit / "qlaunch1.sh"
    assert played.shell.asked == [("playsub", job.tag, str(script), "--x", "1 2")]
    assert script.stat().st_mode & 0o777 == 0o700
    assert f"--launch-id={job.launch_id}" in script.read_text()
    assert played.moves() == [("SUBMITTING", "QUEUED", "played calls it 7")]


def test_a_variable_in_another_encoding_stands_in_the_script_as_it_is(played: Played) -> None:
    played.shell = replace(played.shell, environ={**played.shell.environ, "PYTHONPATH": os.fsdecode(b"/a/\xe9")})
    played.submit()
    assert b"export PYTHONPATH='/a/\xe9'\n" in (played.site.qsubmit / "qlaunch1.sh").read_bytes()


def test_a_program_that_lives_on_after_its_submission_was_broken_off_can_look_for_the_batch_job(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_interrupted(shell: PlayedShell, command: Command) -> CommandResult:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PlayedShell, "run", is_interrupted)
        with pytest.raises(KeyboardInterrupt):
            played.submit()
    played.shell.answers.update(playfind="7\n", playstat="7 RUNNING\n")
    assert played.poll() == {}
    assert played.job().state is RUNNING


def test_the_scheduler_s_no_is_told_in_its_own_words_and_recorded(played: Played) -> None:
    played.shell.answers["playsub"] = NO
    with pytest.raises(SchedulerRejected, match="playsub: no such queue"):
        played.submit()
    assert (played.job().state, played.job().reason) == (REJECTED, "playsub: no such queue")


def test_a_missing_command_is_named_with_its_scheduler_and_nothing_is_left_open(played: Played) -> None:
    played.shell.answers["playsub"] = MISSING
    with pytest.raises(SchedulerUnavailable, match="playsub: command not found, which the scheduler 'played' needs"):
        played.submit()
    assert played.job().state is REJECTED


@pytest.mark.parametrize(("answer", "error"), [(HANGS, SchedulerUnavailable), (GARBAGE, SchedulerNotUnderstood)])
def test_after_no_readable_answer_the_batch_job_stays_open_and_is_found_by_its_name(
    played: Played, answer: CommandResult, error: type[BalsamError]
) -> None:
    played.shell.answers["playsub"] = answer
    with pytest.raises(error):
        played.submit()
    assert played.job().state is SUBMITTING
    # The process that submitted lives on: it may be a service.
    played.shell.answers.update(playfind="12\n", playstat="12 RUNNING\n")
    assert played.poll() == {}
    assert (played.job().scheduler_id, played.job().state) == ("12", RUNNING)
    assert ("playfind", played.job().tag) in played.shell.asked


def _fails(*_given: object) -> None:
    raise KeyError("JOBID")


NONSENSE = pytest.mark.parametrize("nonsense", [_fails, lambda *_given: {"7": "RUNNING"}])


@NONSENSE
def test_a_broken_plugin_that_builds_no_command_submits_nothing(
    played: Played, monkeypatch: pytest.MonkeyPatch, nonsense: Callable[..., object]
) -> None:
    monkeypatch.setattr(PlayedScheduler, "submit_command", nonsense)
    with pytest.raises(PluginError, match="of the scheduler 'played'"):
        played.submit()
    assert (played.job().state, played.shell.asked) == (REJECTED, [])


@NONSENSE
def test_a_broken_plugin_that_cannot_read_the_id_leaves_the_batch_job_to_be_found(
    played: Played, monkeypatch: pytest.MonkeyPatch, nonsense: Callable[..., object]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(PlayedScheduler, "parse_submit", nonsense)
        with pytest.raises(SchedulerNotUnderstood, match="of the scheduler 'played'") as caught:
            played.submit()
    assert caught.value.raw == "7\n"
    played.shell.answers.update(playfind="7\n", playstat="7 RUNNING\n")
    assert played.poll() == {}
    assert played.job().state is RUNNING


@NONSENSE
@pytest.mark.parametrize("method", ["status_command", "parse_status", "idle_command", "parse_idle"])
def test_a_broken_plugin_is_told_of_by_who_polls_and_changes_nothing(
    played: Played, monkeypatch: pytest.MonkeyPatch, method: str, nonsense: Callable[..., object]
) -> None:
    played.submit()
    monkeypatch.setattr(PlayedScheduler, "idle_command", lambda _self: Command(("playidle",)))
    monkeypatch.setattr(PlayedScheduler, method, nonsense)
    assert ("of the scheduler 'played'" in played.poll().get("played", "")) == ("status" in method)
    assert played.poller().idle_nodes("played") == ()
    assert played.job().state is QUEUED


@NONSENSE
@pytest.mark.parametrize("method", ["history_commands", "parse_history"])
def test_a_broken_plugin_without_history_does_not_spoil_what_it_says_of_the_present(
    played: Played, monkeypatch: pytest.MonkeyPatch, method: str, nonsense: Callable[..., object]
) -> None:
    played.submit()
    played.shell.answers["playsub"] = "8\n"
    played.submit()
    monkeypatch.setattr(PlayedScheduler, method, nonsense)
    played.shell.answers["playstat"] = "8 RUNNING\n"
    assert (played.poll(), played.poll(GRACE_SECONDS)) == ({}, {})
    assert (played.job(1).state, played.job(2).state) == (QUEUED, RUNNING)


def test_a_batch_job_that_cannot_be_found_for_sure_keeps_none_from_being_asked_for(played: Played) -> None:
    played.submit()
    a_submitter_that_died(played)
    played.shell.answers["playsub"] = "8\n"
    played.submit()
    played.shell.answers.update(playfind=GARBAGE, playstat="8 RUNNING\n")
    for _ in range(3):
        assert played.poll(LEASE_SECONDS) == {}
    assert (played.job(1).state, played.job(2).state) == (SUBMITTING, RUNNING)
    assert played.job(1).reason == "unreadable: <html>"


def test_a_crash_before_the_submit_command_is_told_apart_after_the_grace(played: Played) -> None:
    played.submit()
    a_submitter_that_died(played)
    played.poll()
    assert played.job().state is SUBMITTING
    played.poll(LEASE_SECONDS)
    assert played.job().state is LOST
    assert [argv[0] for argv in played.shell.asked] == ["playsub", "playfind", "playfind"]


def test_while_the_submitter_lives_nobody_judges_its_batch_job(played: Played) -> None:
    played.submit()
    with played.store.database.write() as tx:
        mine = {"submitter_pid": os.getpid(), "submitter_clock": process_clock(os.getpid())}
        tx.execute(batch_jobs.update().values(state="SUBMITTING", scheduler_id=None, submitter_boot=boot_id(), **mine))
    played.poll()
    assert [argv[0] for argv in played.shell.asked] == ["playsub"]


def test_a_launcher_that_begins_claims_its_record_whatever_was_thought_of_it(played: Played) -> None:
    job = played.submit()
    a_submitter_that_died(played)
    make_launcher(played.store, launch_id=job.launch_id, batch_job_id="9")
    assert played.store.batches.launcher_begins(job.launch_id, "9", "n1")
    assert (played.job().state, played.job().scheduler_id) == (RUNNING, "9")
    assert played.moves()[-1] == ("SUBMITTING", "RUNNING", "its launcher began on n1")
    played.poll(LEASE_SECONDS / 2)  # absent from the queue, but its lease lives
    assert (played.job().state, played.job().absent_since) == (RUNNING, None)
    assert not played.store.batches.launcher_begins(make_launcher(played.store), "9", "n1")


def test_of_a_batch_job_that_ended_the_launcher_s_account_and_the_scheduler_s_code_are_kept(played: Played) -> None:
    job = played.submit()
    launcher = make_launcher(played.store, launch_id=job.launch_id)
    played.store.batches.launcher_begins(job.launch_id, "7", "n1")
    played.store.end_launcher(launcher, "nothing more can run", 5)
    played.shell.answers["playpast"] = "7 DONE\n"
    played.poll()
    ended = played.job()
    assert ended.pilot
    assert (ended.state, ended.batch_state, ended.pilot.jobs_done) == (ENDED, "DONE", 5)
    assert [(event.from_state, event.to_state) for event in played.events] == [("RUNNING", "ENDED")]


def test_absence_is_borne_until_grace_and_lease_are_over(played: Played) -> None:
    played.submit()
    for seconds in (0.0, 10.0, GRACE_SECONDS):
        played.poll(seconds)
        assert played.job().state is QUEUED
    played.poll(LEASE_SECONDS)
    assert played.job().state is LOST
    assert played.job().reason == ("the scheduler does not know it any more, and no launcher of it was ever heard of")
    # The past was asked after the grace only.
    commands = [argv[0] for argv in played.shell.asked[1:]]
    assert commands == ["playstat", "playstat", "playstat", "playpast", "playstat", "playpast"]


@pytest.mark.parametrize("answer", [DOWN, GARBAGE, HANGS, MISSING])
def test_no_fault_of_the_scheduler_changes_a_state(played: Played, answer: CommandResult) -> None:
    played.submit()
    played.shell.answers["playstat"] = answer
    for _ in range(20):
        assert list(played.poll(LEASE_SECONDS)) == ["played"]
    assert (played.job().state, played.job().absent_since) == (QUEUED, None)
    played.shell.answers["playstat"] = "7 RUNNING\n"
    assert played.poll(10 * LEASE_SECONDS) == {}
    assert played.job().state is RUNNING


def test_a_scheduler_that_was_down_for_weeks_is_asked_again(played: Played) -> None:
    played.submit()
    played.poll()
    with played.store.database.write() as tx:
        tx.execute(polls.update().values(failures=5000))
    played.shell.answers["playstat"] = "7 RUNNING\n"
    assert played.poll(10 * LEASE_SECONDS) == {}
    assert played.job().state is RUNNING


def test_an_unreadable_row_spoils_no_other_and_is_not_an_absence(played: Played) -> None:
    played.submit()
    played.shell.answers.update(playsub="8\n", playstat="7\n8 RUNNING\n")
    played.submit()
    for _ in range(3):
        played.poll(LEASE_SECONDS)
    assert [played.job(number).state for number in (1, 2)] == [QUEUED, RUNNING]
    assert played.job(1).absent_since is None


def test_a_word_that_nobody_knows_changes_nothing_and_is_shown(played: Played) -> None:
    played.submit()
    played.shell.answers["playstat"] = "7 MOONING\n"
    played.poll()
    assert (played.job().state, played.job().batch_state, played.job().raw_state) == (QUEUED, "UNKNOWN", "mooning")


def test_all_share_one_answer_and_a_scheduler_in_trouble_is_asked_ever_more_rarely(played: Played) -> None:
    played.submit()
    every = PlayedScheduler.min_poll_seconds
    played.shell.answers["playstat"] = "7 QUEUED\n"
    for _ in range(5):
        played.poll(every / 10)
    assert len(played.shell.asked) == 2
    played.shell.answers["playstat"] = DOWN
    asked_after = []
    for _ in range(40):
        before = len(played.shell.asked)
        assert (played.poll(every) != {}) is (played.shell.answers["playstat"] is DOWN)
        asked_after.append(len(played.shell.asked) > before)
    assert sum(asked_after) < 12
    assert asked_after[0] is True


def test_the_many_share_one_status_command(played: Played) -> None:
    for number in range(50):
        played.shell.answers["playsub"] = f"{number}\n"
        played.submit()
    played.shell.answers["playstat"] = "".join(f"{number} RUNNING\n" for number in range(50))
    played.poll()
    assert [argv for argv in played.shell.asked if argv[0] != "playsub"] == [("playstat", *map(str, range(50)))]
    assert len(played.store.batches.select(machine_id="", states=[RUNNING])) == 50


def test_a_number_is_never_mistaken_for_the_id_of_another_batch_job(played: Played) -> None:
    for scheduler_id in ("2", "3", "3"):
        played.shell.answers["playsub"] = f"{scheduler_id}\n"
        played.submit()
    find = played.store.batches.find
    assert [find(str(number), MACHINE).number for number in (1, 2, 3)] == [1, 2, 3]
    played.shell.answers.update(playdel="3\n", playstat="2 QUEUED\n3 QUEUED\n")
    assert cancel(played.poller(), find("2", MACHINE).tag).number == 2
    played.shell.answers["playsub"] = "9\n"
    assert played.submit().number == find("9", MACHINE).number == 4


def test_a_cancelled_batch_job_is_cancelled_when_it_is_gone(played: Played) -> None:
    played.submit()
    played.shell.answers.update(playdel="7\n", playstat="7 QUEUED\n")
    cancel(played.poller(), "7")
    played.poll(20.0)
    assert played.job().state is QUEUED
    played.shell.answers["playstat"] = ""
    played.poll(20.0)
    assert played.job().state is CANCELLED
    with pytest.raises(JobSpecError, match="batch job 1 is CANCELLED already"):
        cancel(played.poller(), "1")


def test_a_launcher_that_begins_while_its_batch_job_is_cancelled_does_not_hide_that(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = played.submit()

    def agree_late(scheduler: PlayedScheduler, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        played.store.batches.launcher_begins(job.launch_id, "7", "n1")
        return frozenset(ids)

    monkeypatch.setattr(PlayedScheduler, "parse_cancel", agree_late)
    cancel(played.poller(), "1")
    assert (played.job().state, played.job().cancelled) == (RUNNING, True)
    played.shell.answers["playstat"] = "7 DONE\n"
    played.poll()
    assert played.job().state is CANCELLED


def test_a_cancellation_that_the_scheduler_does_not_agree_to_says_so(played: Played) -> None:
    played.submit()
    played.shell.answers["playdel"] = "nothing of yours"
    with pytest.raises(SchedulerRejected, match="played 7 was not cancelled: nothing of yours"):
        cancel(played.poller(), "1")
    with pytest.raises(JobSpecError, match="no batch job is called '77'"):
        cancel(played.poller(), "77")


QUEUES = (
    QueueSettings(name="debug", max_nodes=8, max_minutes=60, max_queued=1),
    QueueSettings(name="default", min_nodes=128, max_nodes=255, max_minutes=180),
    QueueSettings(name="default", min_nodes=256, max_minutes=360),
)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"queue": "debug", "nodes": 9},
            "does not take 9 nodes for 10 minutes: it takes 1 to 8 nodes for up to 60 min",
        ),
        ({"queue": "debug", "time_limit_minutes": 61}, "does not take 1 node for 61 minutes"),
        (
            {"queue": "default", "nodes": 130, "time_limit_minutes": 200},
            "128 to 255 nodes for up to 180 minutes, or at",
        ),
        ({"queue": "two words"}, "queue cannot be 'two words': should be one word"),
        ({"wf_filter": "tset"}, "no job has the workflow 'tset'; did you mean 'test'?"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_recorded(
    played: Played, fields: dict[str, object], said: str
) -> None:
    put(played.store)
    played.settings = Settings(queues=QUEUES)
    with pytest.raises(JobSpecError) as caught:
        played.submit(**fields)
    assert said in str(caught.value)
    assert played.store.batches.select(machine_id="") == []
    assert played.shell.asked == []


@pytest.mark.parametrize(("asked", "meant"), [("te", "*te*"), ("test", "test"), ("t*2", "t*2")])
def test_a_part_of_a_workflow_s_name_will_do_where_no_job_has_the_whole(played: Played, asked: str, meant: str) -> None:
    put(played.store, workflow="test")
    put(played.store, workflow="test2")
    assert played.submit(wf_filter=asked).wf_filter == meant


def test_a_full_queue_is_refused_and_other_queues_are_not(played: Played) -> None:
    played.settings = Settings(queues=QUEUES)
    played.submit(queue="debug")
    with pytest.raises(JobSpecError, match="queue 'debug' takes 1 batch jobs at a time, and 1 are open"):
        played.submit(queue="debug")
    played.submit(queue="other")


@pytest.mark.parametrize(
    ("site", "said"),
    [
        (SiteSettings(), "SQLite database serves one host only"),
        (SiteSettings(database="postgresql"), "PostgreSQL server is at 127.0.0.1"),
        (SiteSettings(database="postgresql://ada@localhost/x"), "PostgreSQL server is at localhost"),
    ],
)
def test_a_database_that_the_compute_nodes_do_not_reach_is_refused(
    played: Played, site: SiteSettings, said: str
) -> None:
    played.settings = Settings(site=site, scheduler=SchedulerSettings(same_host=False))
    with pytest.raises(ConfigError, match=said):
        played.submit()
    played.settings = Settings(site=site, scheduler=SchedulerSettings(same_host=True))
    played.submit()


def test_a_rehearsal_shows_all_and_leaves_nothing(played: Played) -> None:
    played.site.qsubmit.mkdir()
    played.shell.answers["playsub"] = "would start at once\n"
    plan = played.submission().rehearse(Wanted(2, 30, "mpi", scheduler="played", wf_filter=None))
    assert (plan.jobs, plan.checked) == (0, "would start at once")
    assert plan.command[2] == str(played.site.qsubmit / "qlaunch1.sh")
    assert "balsam_core launcher --job-mode mpi --consume-all" in plan.script
    assert played.store.batches.select(machine_id="") == []
    assert list(played.site.qsubmit.iterdir()) == []


def test_an_unknown_scheduler_mpi_launcher_or_node_source_is_named(played: Played) -> None:
    for fields, said in (
        ({"scheduler": "cobolt"}, "no scheduler named 'cobolt'; installed: played"),
        ({"mpi": "mpirum"}, "no MPI launcher named 'mpirum'"),
        ({"node_source": "nowhere"}, "no node source named 'nowhere'"),
    ):
        with pytest.raises(PluginError, match=said):
            played.submit(**fields)


def test_a_script_that_cannot_be_rendered_rejects_the_record(played: Played) -> None:
    played.settings = Settings(template={"exports": {"A B": "1"}})
    with pytest.raises(ConfigError, match="'A B' is no name of a variable"):
        played.submit()
    assert played.job().state is REJECTED


def test_the_evidence_of_a_command_about_thousands_is_short() -> None:
    evidence = evidence_of(CommandResult(("playstat", *map(str, range(2000))), 0))
    assert (len(evidence.argv), evidence.argv[-1]) == (101, "... and 1901 more")
