"""The scheduler pbs: its commands, and what it reads in the answers of OpenPBS 23.06.06 and of older releases."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balsam_core.batch.script import render_script
from balsam_core.models.batch import BatchRequest
from balsam_core.plugins import (
    BatchRecord,
    BatchState,
    BatchStatus,
    Command,
    CommandResult,
    SchedulerError,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
    StatusReport,
)
from balsam_core.settings import TemplateSettings
from balsam_core.site import Site
from balsam_pbs.scheduler import PbsScheduler
from balsam_pbs.settings import PbsSettings
from balsam_pbs.states import seconds
from tests.helpers import make_request

DATA = Path(__file__).parents[1] / "data" / "pbs"
PBS = PbsScheduler(PbsSettings())
SEED = {"nodes": 4, "queue": "debug-cache-quad", "time_limit_minutes": 60, "project": "datascience"}
ON_A_NODE = "on (node1:ncpus=8)+(node2:ncpus=8)"
RUNNING = BatchStatus(
    BatchState.RUNNING, "R", "pbsjob", f"Job run at Mon Nov 23 at 03:46 {ON_A_NODE}", None, 120.0, "workq", 2
)


def recorded(name: str) -> str:
    """What was recorded, without the line that says of what."""
    return (DATA / f"{name}.txt").read_text().partition("\n")[2]


def result(command: str, stdout: str = "", stderr: str = "", returncode: int = 0) -> CommandResult:
    return CommandResult((command,), returncode, stdout, stderr)


def status(stdout: str, *ids: str, returncode: int = 0, stderr: str = "") -> StatusReport:
    return PBS.parse_status(ids or ("0.vm",), result("qstat", stdout, stderr, returncode))


def answer(**jobs: object) -> str:
    """An answer with jobs `j0` ..., printed as qstat prints it."""
    named = {name.replace("j", "") + ".vm": job for name, job in jobs.items()}
    return json.dumps({"timestamp": 1, "pbs_server": "vm", "Jobs": named}, indent="\t")


def state_of(**attributes: object) -> BatchStatus:
    return status(answer(j0=attributes)).jobs["0.vm"]


# ---- scripts ----


@pytest.mark.parametrize(
    ("golden", "settings", "fields"),
    [
        ("seed", PbsSettings(), {**SEED, "job_mode": "serial", "wf_filter": "TEST"}),
        ("no_queue", PbsSettings(place=""), {"nodes": 1, "time_limit_minutes": 4325}),
        ("gpus", PbsSettings(select="ncpus=64"), {"nodes": 2, "gpus_per_node": 4}),
        (
            "settings",
            PbsSettings(
                select="system=polaris:ngpus=4",
                place="scatter",
                filesystems="home:eagle",
                resources=("min_walltime=00:10:00",),
                options=("-W umask=027", "-m n"),
            ),
            {"nodes": 10, "queue": "prod", "gpus_per_node": 4, "mpi": "pals"},
        ),
    ],
)
def test_a_script_holds_what_was_asked_for(golden: str, settings: PbsSettings, fields: dict[str, object]) -> None:
    script = render_script(
        PbsScheduler(settings),
        make_request(**fields),
        Site(Path("/site")),
        TemplateSettings(),
        environ={},
        python="/opt/python/bin/python",
    )
    assert script == (DATA / "golden" / f"{golden}.sh").read_text()


@pytest.mark.parametrize("fields", [{"select": "ncpus=8 -q x"}, {"place": "a\n#PBS -q x"}, {"options": ["-m n\nrm"]}])
def test_a_setting_stays_in_its_directive(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        PbsSettings.model_validate(fields)


# ---- submission ----


def test_paths_and_the_user_s_own_words_stand_in_the_command() -> None:
    request = make_request(sched_flags=("-l", "select=1", "-M", "a b"))
    script = "/site/qsubmit/qlaunch1.sh"
    assert PBS.submit_command(request, script, dry_run=False) == Command(
        ("qsub", "-S", script, "-o", "/site/qsubmit/qlaunch1.out", "-l", "select=1", "-M", "a b", script)
    )
    assert PBS.submit_command(request, script, dry_run=True) is None


@pytest.mark.parametrize("script", ["/site/q 1.sh", "/site/a,b/q1.sh", "/site/a@b/q1.sh"])
def test_a_script_whose_name_would_be_a_list_of_shells_is_run_by_the_login_shell(script: str) -> None:
    command = PBS.submit_command(make_request(), script, dry_run=False)
    assert command == Command(("qsub", "-o", "/site/qsubmit/qlaunch1.out", script))


@pytest.mark.parametrize(
    ("stdout", "job_id"),
    [
        ("0.vm\n", "0.vm"),
        ("8[].vm\n", "8[].vm"),
        ("*** Welcome to 2 clusters ***\n\n1234.pbs-01.hsn.site.gov\n", "1234.pbs-01.hsn.site.gov"),
        ("12\n", "12"),
    ],
)
def test_the_id_is_the_line_that_is_one(stdout: str, job_id: str) -> None:
    assert PBS.parse_submit(result("qsub", stdout, stderr="99.vm\n")) == job_id


# Recorded from OpenPBS 23.06.06 on 2026-11-23.
@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (170, "qsub: Unknown queue"),
        (188, "qsub: Job violates queue and/or server resource limits"),
        (187, "qsub: Unknown resource Resource_List.badres"),
        (1, "qsub: script file:: No such file or directory"),
    ],
)
def test_a_refusal_has_the_scheduler_s_words(returncode: int, words: str) -> None:
    refused = result("qsub", "welcome\n", f"+-- Welcome --+\n{words}\n", returncode)
    with pytest.raises(SchedulerRejected) as caught:
        PBS.parse_submit(refused)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("stdout", "stderr", "returncode"),
    [("", "", 0), ("1.vm\n2.vm\n", "", 0), ("queued\n", "", 0), ("1.vm\n", "killed", 1), ("", "", 1), ("", "x", -9)],
)
def test_a_submission_that_may_have_worked_is_not_called_a_refusal(stdout: str, stderr: str, returncode: int) -> None:
    with pytest.raises(SchedulerNotUnderstood):
        PBS.parse_submit(result("qsub", stdout, stderr, returncode))


@pytest.mark.parametrize(
    "stderr",
    [
        "Connection refused\nqstat: cannot connect to server pbs (errno=111)\n",
        "qstat: cannot connect to server vm (errno=15034)\n",
        "Communication failure.\n",
        "qstat: End of File\n",
    ],
)
def test_a_server_that_is_down_changes_nothing(stderr: str) -> None:
    down = result("qstat", "", stderr, 1)
    with pytest.raises(SchedulerUnavailable, match=r"refused|15034|failure|End of File"):
        PBS.parse_status(["0.vm"], down)
    for parse in (PBS.parse_submit, PBS.parse_find, lambda gone: PBS.parse_cancel(["0.vm"], gone)):
        with pytest.raises(SchedulerUnavailable):
            parse(down)


# ---- status ----


def test_one_command_asks_for_all() -> None:
    assert PBS.status_command(["0.vm", "8[].vm"], "ada").argv == ("qstat", "-f", "-F", "json", "0.vm", "8[].vm")


def test_a_running_job_is_told_with_all_that_is_known() -> None:
    assert status(recorded("running")) == StatusReport({"0.vm": RUNNING})


def test_an_unknown_job_is_absent_and_spoils_no_other() -> None:
    stderr = "qstat: Unknown Job Id 99999.vm\n"
    assert status(recorded("unknown"), "99999.vm", returncode=153, stderr=stderr) == StatusReport()
    assert status(recorded("running"), "99999.vm", "0.vm", returncode=153, stderr=stderr).jobs == {"0.vm": RUNNING}


def test_a_finished_job_is_absent_until_the_history_is_asked() -> None:
    stderr = "qstat: 0.vm Job has finished, use -x or -H to obtain historical job information\n"
    assert status("", returncode=35, stderr=stderr) == StatusReport()
    record = BatchRecord("0.vm", "/site/qsubmit", "/site/qsubmit/qlaunch1")
    assert PBS.history_commands([record]) == (Command(("qstat", "-x", "-f", "-F", "json", "0.vm")),)
    told = PBS.parse_history([record], [result("qstat", recorded("finished"))]).jobs["0.vm"]
    comment = f"Job run at Mon Nov 23 at 03:46 {ON_A_NODE} and terminated by root@localhost"
    assert told == BatchStatus(BatchState.CANCELLED, "F", "pbsjob", comment, 0, None, "workq", 2)


def test_a_server_without_history_tells_nothing_of_the_past() -> None:
    off = result("qstat", "", "qstat: job_history_enable is not set\n", 36)
    assert PBS.parse_history([BatchRecord("0.vm", "/", "/q")], [off]) == StatusReport()
    assert PBS.history_commands([]) == ()


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Q", BatchState.QUEUED),
        ("W", BatchState.QUEUED),
        ("T", BatchState.QUEUED),
        ("H", BatchState.HELD),
        ("R", BatchState.RUNNING),
        ("B", BatchState.RUNNING),
        ("S", BatchState.SUSPENDED),
        ("U", BatchState.SUSPENDED),
        ("E", BatchState.ENDING),
        ("M", BatchState.UNKNOWN),
        ("Zombie", BatchState.UNKNOWN),
    ],
)
def test_every_state_word_is_told_as_it_is(word: str, state: BatchState) -> None:
    told = state_of(job_state=word)
    assert (told.state, told.raw_state) == (state, word)


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ({"Exit_status": 0}, BatchState.DONE),
        ({"Exit_status": 7}, BatchState.FAILED),
        ({"Exit_status": -1}, BatchState.FAILED),
        ({"Exit_status": 265, "comment": "Job run and failed"}, BatchState.FAILED),
        ({"Exit_status": 271}, BatchState.CANCELLED),
        ({"Exit_status": 265, "substate": 91}, BatchState.CANCELLED),
        ({"substate": 91}, BatchState.CANCELLED),
        ({"Exit_status": -29}, BatchState.TIMEOUT),
        ({"Exit_status": 271, "comment": "Job run and exceeded resource walltime"}, BatchState.TIMEOUT),
        ({"Exit_status": 271, "comment": "Job preempted by deletion"}, BatchState.PREEMPTED),
        ({"substate": 91, "comment": "deleted as result of dependency on job 7.vm"}, BatchState.FAILED),
        ({}, BatchState.FAILED),
    ],
)
@pytest.mark.parametrize("word", ["F", "X"])
def test_an_end_is_told_from_exit_status_comment_and_substate(
    word: str, attributes: dict[str, object], state: BatchState
) -> None:
    told = state_of(job_state=word, **attributes)
    assert (told.state, told.exit_code) == (state, attributes.get("Exit_status"))


def test_a_job_whose_dependency_failed_says_so() -> None:
    assert state_of(job_state="F", depend="afterok:7.vm").reason == "it never ran; it depended on afterok:7.vm"
    assert state_of(job_state="F").reason == "it ended without an exit status"


def test_what_looks_like_a_number_is_text_as_it_was_printed() -> None:
    text = answer(j0={"job_state": "R", "Job_Name": "@", "queue": 7, "Resource_List": {"nodect": "2", "walltime": 90}})
    told = status(text.replace('"@"', "1e5")).jobs["0.vm"]
    assert (told.name, told.queue, told.nodes, told.seconds_left) == ("1e5", "7", 2, 90.0)


def test_ids_are_known_with_a_longer_or_a_missing_server_name() -> None:
    text = answer(j0={"job_state": "R", "Job_Name": "two words"}, j1={"job_state": "Q"})
    assert set(status(text, "0.vm.site.org", "1").jobs) == {"0.vm.site.org", "1"}
    assert status(text, "0.other", "10.vm").jobs == {}
    assert status(text).jobs["0.vm"].name == "two words"


def test_arrays_and_their_parts_have_ids_of_their_own() -> None:
    text = answer(
        **{"j8[]": {"job_state": "B", "Resource_List": {"walltime": "01:00:00"}}, "j8[1]": {"job_state": "X"}}
    )
    jobs = status(text, "8[].vm", "8[1].vm", "8.vm").jobs
    assert {job_id: job.raw_state for job_id, job in jobs.items()} == {"8[].vm": "B", "8[1].vm": "X"}
    assert jobs["8[].vm"].seconds_left is None


def test_time_left_is_never_negative_and_unlimited_is_unknown() -> None:
    used = {"walltime": "01:00:05"}
    assert state_of(job_state="R", Resource_List={"walltime": "01:00:00"}, resources_used=used).seconds_left == 0.0
    assert state_of(job_state="R", Resource_List={"walltime": "UNLIMITED"}).seconds_left is None
    assert state_of(job_state="Q", Resource_List={"walltime": "01:00:00"}).seconds_left is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:02:00", 120.0),
        ("120:00:00", 432_000.0),
        ("1-02:00:00", 93_600.0),
        ("5:30", 330.0),
        ("60", 60.0),
        ("UNLIMITED", None),
        ("-5", None),
        ("", None),
        (None, None),
        ("9" * 5000, None),
    ],
)
def test_times_are_read_as_pbs_and_others_write_them(text: str | None, expected: float | None) -> None:
    assert seconds(text) == expected


# ---- answers that are no JSON ----

# After github.com/openpbs/openpbs issues 1255 (leading zeros) and 2541 (functions among the variables).
BROKEN = answer(
    j0={
        "Job_Name": "@",
        "job_state": "F",
        "Variable_List": {"A": "#"},
        "comment": "Job run and failed",
        "Exit_status": 7,
    },
    j1={"job_state": "Q", "Resource_List": {"nodect": 3}},
)
FAILED = BatchStatus(BatchState.FAILED, "F", "x", "Job run and failed", 7)
WAITING = BatchStatus(BatchState.QUEUED, "Q", nodes=3)


@pytest.mark.parametrize(
    "value",
    ['"005"', "005", '"a "quoted" word"', '"() {  echo "\n\t\t\t}\n\t\t}"', '"bell \x07"', '"\\x"', '"half'],
)
def test_a_variable_that_spoils_the_json_spoils_no_job(value: str) -> None:
    text = BROKEN.replace('"@"', '"x"').replace('"#"', value)
    assert status(text, "0.vm", "1.vm") == StatusReport({"0.vm": FAILED, "1.vm": WAITING})


def test_a_name_with_leading_zeros_is_kept() -> None:
    assert status(BROKEN.replace('"@"', "007")).jobs["0.vm"].name == "007"


# PBS Pro 14 to 18 printed the key "Jobs" before each job (pull request 585).
def test_a_key_that_comes_twice_loses_no_job() -> None:
    jobs = '"Jobs":{{\n        "{0}.vm":{{\n            "job_state":"R"\n        }}\n    '
    unclosed = '{\n    "pbs_server":"vm",\n    ' + jobs.format(0) + ",\n    " + jobs.format(1) + "}\n}\n"
    closed = '{\n    "pbs_server":"vm",\n    ' + jobs.format(0) + "},\n    " + jobs.format(1) + "}\n}\n"
    nested = unclosed.replace('    "Jobs"', '        "Jobs"')
    for text in (unclosed, nested, closed, closed.replace("\n", "")):
        report = status(text, "0.vm", "1.vm")
        assert (set(report.jobs), report.unreadable) == ({"0.vm", "1.vm"}, ())


def test_banners_around_the_answer_are_no_part_of_it() -> None:
    banner = "******\n* Maintenance {Monday} *\n******\n"
    for text in (banner + recorded("running") + banner, "{Monday}\n" + recorded("running")):
        assert status(text) == StatusReport({"0.vm": RUNNING})


def test_an_answer_that_was_cut_off_keeps_its_whole_jobs() -> None:
    text = BROKEN.replace('"@"', '"x"')
    cut = text[: text.index('"nodect"')]
    report = status(cut, "0.vm", "1.vm")
    assert report.jobs == {"0.vm": FAILED}
    assert [row.split(":")[0] for row in report.unreadable] == ['"1.vm"']


def test_a_row_that_cannot_be_read_is_shown() -> None:
    text = answer(j0={"job_state": "R"}, j1={"Job_Name": "stateless"}, j2="gone")
    report = status(text, "0.vm", "1.vm", "2.vm")
    assert set(report.jobs) == {"0.vm"}
    assert report.unreadable == ('{"1.vm": {"Job_Name": "stateless"}}', '{"2.vm": "gone"}')
    assert status('{"pbs_server": "vm", "Jobs": [1]}').unreadable == ('["1"]',)


@pytest.mark.parametrize(
    ("stdout", "returncode"),
    [("", 0), ("Job id Name\n", 0), ('{"a": 1}', 0), ("", 1), ("[" * 9999, 0), ("nonsense", 153)],
)
def test_what_is_no_answer_is_not_read_as_absence(stdout: str, returncode: int) -> None:
    with pytest.raises(SchedulerNotUnderstood) as caught:
        status(stdout, returncode=returncode)
    assert caught.value.raw == stdout


def test_no_jobs_at_all_is_an_answer() -> None:
    assert status('{"timestamp": 1, "pbs_version": "23.06.06", "pbs_server": "vm"}') == StatusReport()


LINES = st.lists(
    st.sampled_from(
        [*BROKEN.splitlines(), *recorded("running").splitlines()[:12], "{", "}", '\t\t"2.vm":\t{', "\x00", "banner"]
    )
    | st.text(max_size=20),
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(LINES, st.sampled_from([0, 1, 35, 153, -9]), st.text(max_size=30))
def test_whatever_the_text_an_answer_is_read_or_one_of_the_three_errors_raised(
    lines: list[str], returncode: int, stderr: str
) -> None:
    said = result("qstat", "\n".join(lines), stderr, returncode)
    for parse in (
        lambda: PBS.parse_status(["0.vm", "1.vm", "2.vm"], said),
        lambda: PBS.parse_submit(said),
        lambda: PBS.parse_find(said),
        lambda: PBS.parse_cancel(["0.vm"], said),
    ):
        with contextlib.suppress(SchedulerError):
            parse()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(["whole", "stateless", "torn", "unopened", "cut"]), min_size=1, max_size=6),
    st.sampled_from(["", "005,", '"a"b"', "1"]),
)
def test_no_row_is_dropped_in_silence(kinds: list[str], value: str) -> None:
    rows = {
        "whole": '\t\t"{0}.vm":\t{{\n\t\t\t"job_state":\t"R",\n\t\t\t"mark":\t"m{0}"\n\t\t}},\n',
        "stateless": '\t\t"{0}.vm":\t{{\n\t\t\t"mark":\t"m{0}"\n\t\t}},\n',
        "torn": '\t\t"{0}.vm":\t{{\n\t\t\t"job_state":\t"R",\n\t\t\t"V":\t{1},\n\t\t\t"mark":\t"m{0}"\n\t\t}},\n',
        "unopened": '\t\t"{0}.vm:\t{{\n\t\t\t"job_state":\t"R",\n\t\t\t"mark":\t"m{0}"\n\t\t}},\n',
        "cut": '\t\t"{0}.vm":\t{{\n\t\t\t"job_state":\t"R",\n\t\t\t"mark":\t"m{0}"\n',
    }
    ids = [f"{number}.vm" for number in range(len(kinds))]
    text = "".join(rows[kind].format(number, value) for number, kind in enumerate(kinds))
    text = '{\n\t"pbs_server":\t"vm",\n\t"Jobs":\t{\n' + text + "\t}\n}\n"
    try:
        report = status(text, *ids)
    except SchedulerNotUnderstood as error:
        report = StatusReport(unreadable=(error.raw,))
    shown = "".join(report.unreadable)
    assert [job for number, job in enumerate(ids) if job not in report.jobs and f'"m{number}"' not in shown] == []


# ---- finding and cancelling ----


def test_a_batch_job_is_found_by_its_tag() -> None:
    assert PBS.find_command("qlaunch1", "ada") == Command(("qselect", "-u", "ada", "-N", "qlaunch1"))
    assert PBS.parse_find(result("qselect", "")) is None
    assert PBS.parse_find(result("qselect", "10.vm\n9.vm\n")) == "9.vm"
    for unreadable in (
        result("qselect", "9 vm\n"),
        result("qselect", "9" * 5000),
        result("qselect", "", "qselect: illegal -N value", 2),
    ):
        with pytest.raises(SchedulerNotUnderstood):
            PBS.parse_find(unreadable)


def test_cancelling_counts_what_is_over_already() -> None:
    assert PBS.cancel_command(["0.vm", "1.vm"]).argv == ("qdel", "0.vm", "1.vm")
    assert PBS.parse_cancel(["0.vm"], result("qdel")) == {"0.vm"}
    over = "motd\nqdel: Unknown Job Id 0.vm\nqdel: Job has finished 1.vm\n"
    assert PBS.parse_cancel(["0.vm", "1.vm", "2.vm"], result("qdel", "", over, 35)) == {"0.vm", "1.vm", "2.vm"}


def test_a_batch_job_that_may_not_be_cancelled_is_left_out() -> None:
    refused = result("qdel", "", "qdel: Unauthorized Request  0.vm\n", 159)
    assert PBS.parse_cancel(["0.vm", "10.vm"], refused) == {"10.vm"}
    with pytest.raises(SchedulerRejected, match=r"^qdel: Unauthorized Request 0\.vm$"):
        PBS.parse_cancel(["0.vm"], refused)
    with pytest.raises(SchedulerRejected, match="illegally formed"):
        PBS.parse_cancel(["0.vm"], result("qdel", "", "qdel: illegally formed job identifier: x\n", 2))
    for silent in ("", "motd\n"):
        with pytest.raises(SchedulerNotUnderstood):
            PBS.parse_cancel(["0.vm"], result("qdel", "", silent, 1))


def test_a_request_s_walltime_may_be_days() -> None:
    request: BatchRequest = make_request(time_limit_minutes=72 * 60)
    assert PBS.template_values(request)["walltime"] == "72:00:00"
