"""The scheduler local: its exact commands, and what it makes of any answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balsam_core.batch.script import render_script
from balsam_core.errors import ConfigError
from balsam_core.plugins import (
    BatchRecord,
    BatchState,
    BatchStatus,
    CommandResult,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
    StatusReport,
)
from balsam_core.settings import TemplateSettings, load_settings
from balsam_core.site import Site
from balsam_core.testing import NodeSourceContract, PlayedProbe, SchedulerContract
from balsam_local.nodes import LocalNodes
from balsam_local.queue.jobs import BatchJob, State, row
from balsam_local.scheduler import LocalScheduler
from balsam_local.settings import LocalSettings
from tests.helpers import make_request

LOCAL = LocalScheduler(LocalSettings(virtual_nodes=4, queue_path="/q"))
SCRIPT = Path(__file__).parents[1] / "data" / "batch_scripts" / "local.sh"


def words(argv: tuple[str, ...]) -> list[str]:
    """The words for the queue, behind `python -P -m balsam_local.queue --path=/q`."""
    assert argv[0] == sys.executable
    at = argv.index("balsam_local.queue")
    assert argv[at - 1] == "-m"
    assert argv[at + 1] == "--path=/q"
    return list(argv[at + 2 :])


def answer(stdout: str = "", stderr: str = "", returncode: int = 0) -> CommandResult:
    return CommandResult(("python",), returncode, stdout, stderr)


def line(job_id: int = 7, state: str = "RUNNING", **fields: object) -> str:
    """A row as the queue prints it, with some fields of another value."""
    job = BatchJob(job_id, "qlaunch1", 2, 30, "/s.sh", "/w", "/w/o.output", queue="local", end_clock=100.0)
    return json.dumps({**row(job, 40.0), "state": state, **fields})


def read(*lines: str, ids: tuple[str, ...] = ("7", "8")) -> StatusReport:
    return LOCAL.parse_status(ids, answer("".join(f"{one}\n" for one in lines)))


class TestLocal(SchedulerContract):
    scheduler = LOCAL


class TestNodesOfTheHost(NodeSourceContract):
    node_source = LocalNodes(LocalSettings(virtual_nodes=4))
    inside = PlayedProbe(
        {"BALSAM_LOCAL_JOB_ID": "7", "BALSAM_LOCAL_NODES": "n1,n2", "BALSAM_LOCAL_END_TIME": "2000000000"}
    )


RUNNING = BatchStatus(BatchState.RUNNING, "RUNNING", "qlaunch1", "", None, 60.0, "local", 2)


def test_a_submit_says_all_on_the_command_line() -> None:
    request = make_request(queue="local", project="none", sched_flags=("--grace-seconds=3",))
    command = LOCAL.submit_command(request, "/site/qsubmit/qlaunch1.sh", dry_run=False)
    assert command is not None
    assert words(command.argv) == [
        "submit",
        "--name=qlaunch1",
        "--nodes=2",
        "--minutes=30",
        "--workdir=/site/qsubmit",
        "--output-prefix=/site/qsubmit/qlaunch1",
        "--machine-nodes=4",
        "--grace-seconds=10.0",
        "--queue=local",
        "--project=none",
        "--grace-seconds=3",
        "/site/qsubmit/qlaunch1.sh",
    ]


def test_a_dry_run_is_the_same_command_and_queues_nothing() -> None:
    command = LOCAL.submit_command(make_request(), "/q.sh", dry_run=True)
    assert command is not None
    assert words(command.argv)[-2:] == ["--dry-run", "/q.sh"]


def test_the_other_commands_ask_for_all_ids_at_once_and_leave_out_those_of_other_schedulers() -> None:
    records = [BatchRecord("7", "/w", "/w/o"), BatchRecord("8[].pbs", "/w", "/w/o")]
    assert words(LOCAL.status_command(["7", "8[].pbs", "9"], "ada").argv) == ["status", "7", "9"]
    assert words(LOCAL.cancel_command(["7", "x", "9"]).argv) == ["cancel", "7", "9"]
    assert [words(command.argv) for command in LOCAL.history_commands(records)] == [["history", "7"]]
    assert LOCAL.history_commands([]) == []
    find = LOCAL.find_command("qlaunch1", "ada")
    assert find is not None
    assert words(find.argv) == ["find", "qlaunch1"]


@pytest.mark.parametrize("stdout", ["7\n", "a word of the site's startup file\n7\n"])
def test_the_id_is_the_line_that_is_a_number(stdout: str) -> None:
    assert LOCAL.parse_submit(answer(stdout, "no runner could be started: no memory")) == "7"


@pytest.mark.parametrize("stdout", ["", "\n", "queued 7\n", "7\n8\n", "-7\n", "７\n"])  # noqa: RUF001 - a wide 7
def test_an_answer_without_one_id_is_not_understood_and_kept(stdout: str) -> None:
    with pytest.raises(SchedulerNotUnderstood, match="no id of a batch job") as caught:
        LOCAL.parse_submit(answer(stdout, "warning"))
    assert caught.value.raw == "\n".join(text for text in (stdout, "warning") if text)


@pytest.mark.parametrize("returncode", [2, 3])
def test_a_refusal_has_the_queues_own_words(returncode: int) -> None:
    with pytest.raises(SchedulerRejected, match=r"^8 nodes were asked for and there are 4; ask for fewer$"):
        LOCAL.parse_submit(answer("", "usage: x\n8 nodes were asked for and there are 4; ask for fewer\n", returncode))


@pytest.mark.parametrize(
    ("returncode", "stderr", "said"),
    [(4, "cannot use the queue /q: no space\n", "no space$"), (-9, "", "killed by signal 9$"), (4, "", "no reason")],
)
def test_a_queue_that_cannot_be_used_is_no_answer(returncode: int, stderr: str, said: str) -> None:
    result = answer(line(), stderr, returncode)
    for parse in (
        lambda: LOCAL.parse_submit(result),
        lambda: LOCAL.parse_status(["7"], result),
        lambda: LOCAL.parse_find(result),
        lambda: LOCAL.parse_cancel(["7"], result),
        lambda: LOCAL.parse_history([BatchRecord("7", "/w", "/o")], [result]),
    ):
        with pytest.raises(SchedulerUnavailable, match=said):
            parse()


def test_a_crash_of_the_queues_command_is_not_understood_and_its_traceback_kept() -> None:
    with pytest.raises(SchedulerNotUnderstood, match="exit code 1: ValueError: x") as caught:
        LOCAL.parse_status(["7"], answer("", "Traceback ...\nValueError: x", 1))
    assert caught.value.raw == "Traceback ...\nValueError: x"


def test_every_state_of_the_queue_is_known_except_the_unreadable() -> None:
    states = {state: LOCAL.parse_status(["7"], answer(line(state=state.value))).jobs["7"].state for state in State}
    assert [state for state, seen in states.items() if seen is BatchState.UNKNOWN] == [State.UNREADABLE]
    assert (states[State.WAITING], states[State.ENDING]) == (BatchState.QUEUED, BatchState.ENDING)


def test_an_unknown_id_among_known_ones_stays_absent() -> None:
    assert read(line(7)) == StatusReport({"7": RUNNING})
    assert read() == StatusReport()


def test_an_unknown_state_word_is_a_state() -> None:
    status = read(line(7, "DREAMING"), line(8)).jobs
    assert (status["7"].state, status["7"].raw_state) == (BatchState.UNKNOWN, "DREAMING")
    assert status["8"] == RUNNING


def test_a_batch_job_that_waits_for_a_runner_says_so() -> None:
    reason = "no runner could be started: [Errno 11] Resource temporarily unavailable"
    waiting = read(line(7, "WAITING", reason=reason, seconds_left=None)).jobs["7"]
    assert (waiting.state, waiting.reason, waiting.seconds_left) == (BatchState.QUEUED, reason, None)


@pytest.mark.parametrize(
    "broken",
    [
        line()[:40],
        "null",
        "[1]",
        "{}",
        "[" * 100_000,
        line(7, nodes="2"),
        line(7, nodes=True),
        line(7, id=7),
        line(7, exit_code=1.5),
        line(7, seconds_left="soon"),
        line(7).replace("60.0", "NaN"),
        line(7).replace("60.0", "1" * 400),
    ],
    ids=range(12),
)
def test_a_row_that_cannot_be_read_is_kept_and_spoils_no_other(broken: str) -> None:
    assert read(line(8), broken) == StatusReport({"8": RUNNING}, (broken,))


def test_a_second_row_of_one_id_is_not_believed() -> None:
    assert read(line(7), line(7, "DONE")) == StatusReport({"7": RUNNING}, (line(7, "DONE"),))


_ODD = st.one_of(
    st.text(max_size=30),
    st.builds(lambda text, cut: text[:cut], st.just(line()), st.integers(0, 400)),
    st.builds(
        lambda job_id, state, key, value: line(job_id, **{"state": state, key: value}),
        st.sampled_from([7, 8, 9]),
        st.sampled_from(["RUNNING", "DONE", "ODD"]),
        st.sampled_from(["id", "name", "nodes", "exit_code", "seconds_left", "queue", "reason", "state", "more"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([])),
    ),
    st.recursive(st.none() | st.text(max_size=3), lambda inner: st.lists(inner), max_leaves=5).map(json.dumps),
)


@given(st.lists(_ODD, max_size=6), st.sampled_from([0, 0, 0, 1, 2, 3, 4, -15]))
def test_no_row_is_dropped_in_silence(lines: list[str], returncode: int) -> None:
    stdout = "\n".join(lines)
    result = answer(stdout, "", returncode)
    if returncode != 0:
        with pytest.raises((SchedulerUnavailable, SchedulerNotUnderstood)):
            LOCAL.parse_status(["7", "8"], result)
        return
    report = LOCAL.parse_status(["7", "8"], result)
    assert set(report.jobs) <= {"7", "8"}
    printed = [one for one in stdout.split("\n") if one.strip()]
    others = [one for one in printed if one not in report.unreadable and json.loads(one)["id"] not in ("7", "8")]
    assert len(printed) == len(report.jobs) + len(report.unreadable) + len(others)


def test_the_last_batch_job_of_a_name_is_found() -> None:
    assert LOCAL.parse_find(answer("")) is None
    assert LOCAL.parse_find(answer(f"{line(7)}\n{line(8, 'DONE')}\n")) == "8"
    with pytest.raises(SchedulerNotUnderstood, match="cannot be read"):
        LOCAL.parse_find(answer(f"{line(7)}\n{line(8)[:30]}"))


def test_the_end_of_a_batch_job_is_in_the_history() -> None:
    records = [BatchRecord(job_id, "/w", "/w/o") for job_id in ("7", "8")]
    ended = line(7, "FAILED", exit_code=3, reason="exit code 3", seconds_left=None)
    report = LOCAL.parse_history(records, [answer(f"{ended}\n")])
    assert report == StatusReport(
        {"7": BatchStatus(BatchState.FAILED, "FAILED", "qlaunch1", "exit code 3", 3, None, "local", 2)}
    )


def test_cancelled_are_those_that_agreed_or_were_over() -> None:
    answers = {"7": "cancelled", "8": "stopping", "9": "over", "10": "unknown"}
    stdout = "".join(f"{json.dumps({'id': job_id, 'answer': said})}\n" for job_id, said in answers.items())
    assert LOCAL.parse_cancel(["7", "8", "9", "10", "11"], answer(stdout)) == {"7", "8", "9"}
    with pytest.raises(SchedulerNotUnderstood, match="cannot be read"):
        LOCAL.parse_cancel(["7"], answer('{"id": "7"'))


def test_the_queues_folder_is_the_same_for_all_commands(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^BALSAM_LOCAL__QUEUE_PATH = 'queue': should begin with / or ~"):
        load_settings(tmp_path, {"BALSAM_LOCAL__QUEUE_PATH": "queue"}).plugin("local", LocalSettings)


def test_the_batch_script_is_the_golden_one() -> None:
    request = make_request(job_mode="serial", nodes=1, time_limit_minutes=10, wf_filter="TEST")
    script = render_script(
        LOCAL, request, Site(Path("/site")), TemplateSettings(), environ={}, python="/opt/bin/python"
    )
    assert script == SCRIPT.read_text()
