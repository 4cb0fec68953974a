"""The scheduler Cobalt: its exact commands, and what it makes of recorded and of broken answers."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balsam_cobalt.scheduler import Cobalt
from balsam_cobalt.settings import CobaltSettings
from balsam_core.errors import SchedulerError, SchedulerNotUnderstood, SchedulerRejected, SchedulerUnavailable
from balsam_core.plugins import BatchRecord, BatchState, BatchStatus, Command, CommandResult, IdleNodes, StatusReport
from tests.helpers import make_request

DATA = Path(__file__).parents[1] / "data" / "cobalt"
COBALT = Cobalt(CobaltSettings())
SCRIPT = "/site/qsubmit/qlaunch1.sh"
NO_HANDLERS = 'No handlers could be found for logger "Proxy"\n'
USAGE = """\
Usage: qsub.py --help
Usage: qsub.py [options] <executable> [<excutable options>]

Refer to man pages for JOBID EXPANSION and SCRIPT JOB DIRECTIVES.


"""


def recorded(name: str) -> str:
    """A recording without its first line, which says where it comes from."""
    return (DATA / name).read_text().partition("\n")[2]


def answer(
    stdout: str = "", returncode: int = 0, stderr: str = "", argv: tuple[str, ...] = ("qstat",)
) -> CommandResult:
    return CommandResult(argv, returncode, stdout, stderr)


def submitted(stdout: str = "", returncode: int = 0, stderr: str = "") -> str:
    return COBALT.parse_submit(answer(stdout, returncode, stderr, ("qsub",)))


# ---- submit ----


def test_paths_stand_on_the_command_line_and_the_requests_own_words_after_them() -> None:
    request = make_request(sched_flags=("--attrs", "mcdram=flat"))
    argv = ("qsub", "--mode", "script", "--cwd", "/site/qsubmit", "-O", "/site/qsubmit/qlaunch1")
    assert COBALT.submit_command(request, SCRIPT, False) == Command((*argv, "--attrs", "mcdram=flat", SCRIPT))


def test_a_script_whose_folder_has_blanks_is_named_from_there() -> None:
    request = make_request(workdir="/my site/qsubmit", output_prefix="/my site/qsubmit/qlaunch1")
    command = COBALT.submit_command(request, "/my site/qsubmit/qlaunch1.sh", False)
    assert command
    assert command.argv[3:] == ("--cwd", "/my site/qsubmit", "-O", "/my site/qsubmit/qlaunch1", "qlaunch1.sh")


def test_cobalt_has_no_dry_run() -> None:
    assert COBALT.submit_command(make_request(), SCRIPT, True) is None


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        ("12\n", ""),
        ("12\n", "WARNING: dependencies 999 do not match jobs currently in the queue\n"),
        ("Welcome to Theta\n\n  12\n", "14 days until maintenance\n"),
    ],
)
def test_the_id_is_the_line_that_is_a_number(stdout: str, stderr: str) -> None:
    assert submitted(stdout, 0, stderr) == "12"


@pytest.mark.parametrize(
    ("stdout", "returncode", "stderr", "words"),
    [
        ("", 1, "'nodecount' not provided\n", "'nodecount' not provided"),
        ("", 1, "node count out of realistic range\n", "node count out of realistic range"),
        (
            "",
            1,
            NO_HANDLERS + "<Fault 1001: \"trying to add job to non-existent queue 'nosuch'\">\n",
            "<Fault 1001: \"trying to add job to non-existent queue 'nosuch'\">",
        ),
        (
            "",
            1,
            NO_HANDLERS + "component error: XMLRPC failure <Fault 1004: 'mcdram bad not valid must be one of: flat'>"
            " in system.validate_job\n\n",
            "component error: XMLRPC failure <Fault 1004: 'mcdram bad not valid must be one of: flat'>"
            " in system.validate_job",
        ),
        (USAGE, 2, "qsub.py: error: no such option: --badopt\n", "qsub.py: error: no such option: --badopt"),
        ("", 1, "command /a.sh is not executable\n", "command /a.sh is not executable"),
        (
            "",
            0,
            "failed to create the job.  Maybe a queue isn't there?\n",
            "failed to create the job.  Maybe a queue isn't there?",
        ),
    ],
)
def test_a_refusal_keeps_cobalts_own_words(stdout: str, returncode: int, stderr: str, words: str) -> None:
    with pytest.raises(SchedulerRejected) as caught:
        submitted(stdout, returncode, stderr)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("stdout", "returncode", "stderr"),
    [
        ("", 0, ""),
        ("1 2\n", 0, ""),
        ("", 0, "15\n"),
        ("15\n", 1, "Broken filter\n"),
        ("", 1, "Traceback (most recent call last):\n  ...\nKeyError: 'x'\n"),
        ("{}\n", 1, "*** FATAL EXCEPTION: 'x' ***\n"),
    ],
)
def test_an_answer_that_is_neither_an_id_nor_a_no_leaves_the_submission_open(
    stdout: str, returncode: int, stderr: str
) -> None:
    with pytest.raises(SchedulerNotUnderstood) as caught:
        submitted(stdout, returncode, stderr)
    assert caught.value.raw == stdout + stderr


DOWN = [
    answer("", 1, "component error: Failed to connect to queue-manager\n\n"),
    answer("Failed to connect to queue manager\n", 1),
    answer("", 1, "component error: Following exception occured in system: [Errno 111] Connection refused\n"),
    answer("", 1, "socket timeout: The read operation timed out\n"),
    answer("", -9, ""),
    answer("", 1, ""),
    answer("", 1, NO_HANDLERS),
]


@pytest.mark.parametrize("result", DOWN)
def test_a_server_that_is_down_gives_no_answer(result: CommandResult) -> None:
    with pytest.raises(SchedulerUnavailable):
        COBALT.parse_submit(result)
    with pytest.raises(SchedulerUnavailable):
        COBALT.parse_status(["6"], result)
    with pytest.raises(SchedulerUnavailable):
        COBALT.parse_find(result)
    with pytest.raises(SchedulerUnavailable):
        COBALT.parse_cancel(["6"], result)


# ---- status ----


def test_one_command_asks_for_the_users_batch_jobs_which_no_unknown_id_spoils() -> None:
    header = "JobID:State:JobName:Queue:Nodes:TimeRemaining:Location"
    command = COBALT.status_command(["6", "qlaunch1", "10"], "ada")
    assert command == Command(("qstat", "-u", "ada", "--header", header))


def test_a_table_tells_state_name_queue_and_nodes() -> None:
    report = COBALT.parse_status(["3", "5", "8"], answer(recorded("qstat_header.txt")))
    assert report == StatusReport(
        {
            "3": BatchStatus(BatchState.RUNNING, "running", name="hello", queue="default", nodes=2),
            "5": BatchStatus(BatchState.HELD, "user_hold", queue="default", nodes=3),
            "8": BatchStatus(BatchState.RUNNING, "running", name="fail", queue="debug-cache-quad", nodes=1),
        }
    )


def test_ids_at_the_right_of_their_column_are_read_and_the_time_that_is_left() -> None:
    jobs = COBALT.parse_status(["6", "9", "10", "11"], answer(recorded("qstat_f.txt"))).jobs
    assert {id: (job.state, job.seconds_left) for id, job in jobs.items()} == {
        "6": (BatchState.RUNNING, 31.0),
        "9": (BatchState.RUNNING, 573.0),
        "10": (BatchState.HELD, None),
    }


def test_no_batch_job_of_the_user_is_an_empty_report() -> None:
    assert COBALT.parse_status(["6"], answer(recorded("qstat_nobody.txt"))) == StatusReport()


@pytest.mark.parametrize(
    ("stdout", "returncode", "stderr"),
    [
        ("", 0, ""),
        ("Welcome to Theta\n", 1, ""),
        ("", 1, "x is not a valid jobid or queue name\n"),
        ("<html>502 Bad Gateway</html>\n", 0, ""),
        ("JobID  State    \n", 1, ""),
        ("JobID  State    \n======", 0, ""),
        (" 6     running  \n", 1, ""),
        ("User  Nodes  \n=============\nada   2      \n", 0, ""),
    ],
)
def test_text_without_a_whole_table_changes_nothing(stdout: str, returncode: int, stderr: str) -> None:
    with pytest.raises(SchedulerNotUnderstood) as caught:
        COBALT.parse_status(["6"], answer(stdout, returncode, stderr))
    assert caught.value.raw == stdout + stderr


def table(*rows: str) -> CommandResult:
    return answer("\n".join(("JobID  State        JobName  TimeRemaining  Location  ", "=" * 54, *rows)) + "\n")


def test_banner_lines_above_the_table_are_passed_over_and_lines_below_it_are_shown() -> None:
    banner = "=================\nWelcome to Theta\n=================\n\n"
    told = table(" 6     running      a        00:00:01       1,3       ", "Have a nice day")
    report = COBALT.parse_status(["6"], answer(banner + told.stdout))
    assert report.jobs["6"].seconds_left == 1
    assert report.unreadable == ("Have a nice day",)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("00:29:54", 1794),
        ("120:00:00", 432_000),
        ("1d 02:00:00", 93_600),
        ("1-02:00:00", 93_600),
        ("UNLIMITED", None),
        ("N/A", None),
        ("-00:01:00", None),
    ],
)
def test_long_times_are_read(time: str, seconds: float | None) -> None:
    job = COBALT.parse_status(["6"], table(f"6      running      a        {time:<13}  1,3       ")).jobs["6"]
    assert job.seconds_left == seconds


def test_a_name_with_blanks_is_one_value() -> None:
    told = answer("JobID  JobName      State    \n=============================\n6      my job name  running  \n")
    assert COBALT.parse_status(["6"], told).jobs["6"].name == "my job name"


def test_a_value_that_is_wider_than_its_column_moves_no_other() -> None:
    told = table("6      running      a_very_long_name  01:00:00       1,3       ")
    assert COBALT.parse_status(["6"], told).jobs["6"] == BatchStatus(
        BatchState.RUNNING, "running", name="a_very_long_name", seconds_left=3600.0
    )


def test_a_row_that_was_cut_off_is_unreadable_and_spoils_no_other() -> None:
    cut = "7      runn"
    report = COBALT.parse_status(["6", "7"], table("6      queued       a        N/A            None      ", cut))
    assert (list(report.jobs), report.unreadable) == (["6"], (cut,))


def test_ids_of_other_schedulers_are_compared_as_they_are() -> None:
    rows = [f"{id:<5}  queued       a        N/A            None      " for id in ("0.vm", "6_1", "6;c", "60")]
    assert list(COBALT.parse_status(["6", "6_1", "0.vm"], table(*rows)).jobs) == ["0.vm", "6_1"]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("queued", BatchState.QUEUED),
        ("user_hold", BatchState.HELD),
        ("user hold", BatchState.HELD),
        ("admin_hold", BatchState.HELD),
        ("dep_hold", BatchState.HELD),
        ("dep_fail", BatchState.HELD),
        ("maxrun_hold", BatchState.HELD),
        ("starting", BatchState.STARTING),
        ("running", BatchState.RUNNING),
        ("preempting", BatchState.ENDING),
        ("preempted", BatchState.PREEMPTED),
        ("killing", BatchState.ENDING),
        ("exiting", BatchState.ENDING),
        ("done", BatchState.DONE),
        ("meditating", BatchState.UNKNOWN),
    ],
)
def test_each_state_word_has_its_meaning_and_an_unknown_one_is_kept(word: str, state: BatchState) -> None:
    job = COBALT.parse_status(["6"], table(f"6      {word:<11}  a        N/A            None      ")).jobs["6"]
    assert (job.state, job.raw_state) == (state, word)


LINES = st.one_of(
    st.sampled_from([*recorded("qstat_f.txt").splitlines(), " 6     running    ", "=====", "qstat: error"]),
    st.text(max_size=60),
)


@given(st.lists(LINES), st.sampled_from([0, 1, 2, -9]), st.text(max_size=30))
def test_whatever_is_printed_only_scheduler_errors_are_raised(lines: list[str], returncode: int, stderr: str) -> None:
    result = answer("\n".join(lines), returncode, stderr, ("env", "BALSAM_TAG=hello", "qstat"))
    for parse in (COBALT.parse_submit, COBALT.parse_find):
        with contextlib.suppress(SchedulerError):
            parse(result)
    for ask in (COBALT.parse_status, COBALT.parse_cancel):
        with contextlib.suppress(SchedulerError):
            ask(["6", "9", "10"], result)
    COBALT.parse_history([BatchRecord("6", "/", "/a"), BatchRecord("7", "/", "/b")], [result, result])


ROWS = st.lists(st.tuples(st.sampled_from("0123456789"), st.text(max_size=60)), unique_by=lambda row: row[0])


@given(ROWS)
def test_every_row_below_the_header_is_in_the_report(rows: list[tuple[str, str]]) -> None:
    lines = [line for id, rest in rows for line in f"{id}  {rest}".splitlines() if line.strip()]
    report = COBALT.parse_status(list("0123456789"), table(*lines))
    shown = [row.split() for row in report.unreadable]
    assert [line for line in lines if line.split() not in shown and line.split()[0] not in report.jobs] == []


# ---- find ----


def found(stdout: str, tag: str = "tmo", returncode: int = 0) -> str | None:
    command = COBALT.find_command(tag, "ada")
    assert command is not None
    return COBALT.parse_find(answer(stdout, returncode, argv=command.argv))


def test_a_batch_job_is_found_by_its_name_among_the_users_own() -> None:
    argv = ("env", "BALSAM_TAG=tmo", "qstat", "-u", "ada", "--header", "JobID:JobName:Location")
    assert COBALT.find_command("tmo", "ada") == Command(argv)
    assert found(recorded("qstat_header.txt")) == "6"
    assert found(recorded("qstat_header.txt"), "N/A") == "5"
    assert found(recorded("qstat_header.txt"), "nobody") is None


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "JobID  JobName  Location  \n==========================\n7      to",
        "JobID  JobName  Location  \n==========================\n7      tmo      1  \n8      tmo      2  \n",
    ],
)
def test_whoever_cannot_be_told_apart_is_not_guessed(stdout: str) -> None:
    with pytest.raises(SchedulerNotUnderstood, match=r"^(the answer of qstat cannot be read|several batch jobs are)"):
        found(stdout)


# ---- history ----


def test_the_log_beside_the_output_is_the_history() -> None:
    records = [BatchRecord("3", "/site", "/site/a b"), BatchRecord("8", "/site", "/site/c")]
    assert COBALT.history_commands(records) == [
        Command(("cat", "/site/a b.cobaltlog")),
        Command(("cat", "/site/c.cobaltlog")),
    ]


def end(log: str, id: str, returncode: int = 0) -> BatchStatus | None:
    records = [BatchRecord(id, "/site", "/site/a")]
    return COBALT.parse_history(records, [answer(log, returncode, argv=("cat",))]).jobs.get(id)


@pytest.mark.parametrize(
    ("file", "id", "status"),
    [
        (
            "hello",
            "3",
            BatchStatus(
                BatchState.DONE,
                "task completed normally",
                reason="with an exit code of 0",
                exit_code=0,
            ),
        ),
        (
            "fail",
            "8",
            BatchStatus(
                BatchState.FAILED,
                "task completed normally",
                reason="with an exit code of 7",
                exit_code=7,
            ),
        ),
        (
            "tmo",
            "6",
            BatchStatus(BatchState.TIMEOUT, "maximum execution time exceeded"),
        ),
        (
            "9",
            "9",
            BatchStatus(
                BatchState.CANCELLED,
                "user delete requested",
                reason="with signal SIGTERM by user root",
            ),
        ),
    ],
)
def test_a_log_tells_how_a_batch_job_ended(file: str, id: str, status: BatchStatus) -> None:
    assert end(recorded(f"{file}.cobaltlog"), id) == status


def test_a_log_without_an_end_leaves_its_batch_job_absent() -> None:
    begun = recorded("hello.cobaltlog").rsplit("Mon", 1)[0]
    assert end(begun, "3") is None
    assert end("", "3") is None
    assert end("cat: /site/a.cobaltlog: No such file or directory\n", "3", returncode=1) is None


def test_of_a_log_that_several_batch_jobs_share_each_has_its_own_part() -> None:
    shared = recorded("fail.cobaltlog") + recorded("hello.cobaltlog")
    assert [status and status.exit_code for status in (end(shared, "8"), end(shared, "3"), end(shared, "4"))] == [
        7,
        0,
        None,
    ]


def test_a_log_of_an_older_version_without_an_id_is_its_batch_jobs() -> None:
    status = end(recorded("fail.cobaltlog").partition("\n")[2], "8")
    assert status
    assert status.exit_code == 7


def test_a_launcher_that_ended_well_after_a_deletion_or_the_time_limit_was_still_stopped() -> None:
    completed = "Info: task completed normally with an exit code of 0; initiating job cleanup and removal\n"
    deleted, late = (end(recorded(f"{name}.cobaltlog") + completed, id) for name, id in (("9", "9"), ("tmo", "6")))
    assert deleted
    assert late
    assert [(deleted.state, deleted.exit_code), (late.state, late.exit_code)] == [
        (BatchState.CANCELLED, 0),
        (BatchState.TIMEOUT, 0),
    ]


def test_an_exit_code_that_cobalt_does_not_know_and_a_preemption_are_no_failures() -> None:
    unknown, preempted = (
        end(f"Jobid: 6\nInfo: {text}\n", "6")
        for text in ("task completed normally with an exit code of None; initiating", "job successfully preempted")
    )
    assert unknown
    assert preempted
    assert (unknown.state, unknown.exit_code) == (BatchState.DONE, None)
    assert preempted.state is BatchState.PREEMPTED


# ---- cancel ----


def test_ids_that_qdel_passes_over_in_silence_are_over() -> None:
    assert COBALT.cancel_command(["5", "99"]) == Command(("qdel", "5", "99"))
    assert COBALT.parse_cancel(["5", "7", "99"], answer(recorded("qdel.txt"))) == {"5", "7", "99"}
    assert COBALT.parse_cancel(["99"], answer()) == {"99"}


def test_a_cancellation_that_is_refused_says_why() -> None:
    with pytest.raises(SchedulerRejected, match=r"^jobid must be an integer: abc$"):
        COBALT.parse_cancel(["abc"], answer("", 1, "jobid must be an integer: abc\n", ("qdel",)))
    with pytest.raises(SchedulerNotUnderstood, match=r"^the answer of qdel cannot be read: Traceback"):
        COBALT.parse_cancel(["6"], answer("", 1, "Traceback (most recent call last):\n", ("qdel",)))


# ---- idle nodes ----


def test_idle_nodes_are_counted_for_each_queue_that_they_are_in() -> None:
    found = COBALT.parse_idle(answer(recorded("nodelist.txt"), argv=("nodelist",)))
    assert found == [IdleNodes("default", 3), IdleNodes("debug-cache-quad", 3)]


def test_a_node_that_is_kept_for_a_larger_batch_job_is_free_until_then() -> None:
    table = recorded("nodelist.txt").replace(
        "idle       cache   quad  -       ", "idle       cache   quad  00:20:00", 1
    )
    found = COBALT.parse_idle(answer(table, argv=("nodelist",)))
    assert IdleNodes("default", 1, 1200.0) in found
    assert IdleNodes("default", 2) in found


def test_without_a_table_no_node_is_idle_and_the_error_says_so() -> None:
    with pytest.raises(SchedulerUnavailable):
        COBALT.parse_idle(answer("component error: XMLRPC failure", 1, argv=("nodelist",)))
    with pytest.raises(SchedulerNotUnderstood):
        COBALT.parse_idle(answer("Welcome to Theta", argv=("nodelist",)))
