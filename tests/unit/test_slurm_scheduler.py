"""The scheduler slurm: its exact commands and scripts, and what it reads from recorded and from hostile answers."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from balsam_core.batch.script import render_script
from balsam_core.errors import ConfigError
from balsam_core.plugins import (
    BatchRecord,
    BatchState,
    BatchStatus,
    CommandResult,
    IdleNodes,
    SchedulerError,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
    StatusReport,
)
from balsam_core.settings import TemplateSettings
from balsam_core.site import Site
from balsam_slurm.fields import count_in, exit_code_in, seconds_in, state_of
from balsam_slurm.scheduler import Slurm
from balsam_slurm.settings import SlurmSettings
from tests.helpers import make_request

DATA = Path(__file__).parents[1] / "data" / "slurm"
SLURM = Slurm(SlurmSettings())
FORMAT = "--Format=jobarrayid:80,state:32,exit_code:16,numnodes:16,timeleft:24,partition:80,reason:200,name:200"
HEADER = f"{'JOBID':80}{'STATE':32}{'EXIT_CODE':16}{'NODES':16}{'TIME_LEFT':24}{'PARTITION':80}{'REASON':200}NAME\n"
# Printed by Slurm 22.05.8 on 2026-11-23 and 2026-11-25.
NO_SUCH_JOB = "slurm_load_jobs error: Invalid job id specified\n"
NO_CONTROLLER = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
NO_PARTITION = (
    "sbatch: error: invalid partition specified: nopart\n"
    "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
)
BANNER = "*****************\n* Welcome, ada! *\n42 messages\n*****************\n"


def result(stdout: str = "", stderr: str = "", code: int = 0, name: str = "squeue") -> CommandResult:
    """How a command ended."""
    return CommandResult((name,), code, stdout, stderr)


def row(
    batch_id: str,
    state: str = "RUNNING",
    code: str = "0",
    nodes: str = "1",
    left: str = "9:58",
    *,
    reason: str = "None",
    name: str = "qlaunch1",
) -> str:
    """A row of squeue, as wide as the real ones."""
    return f"{batch_id:80}{state:32}{code:16}{nodes:16}{left:24}{'debug':80}{reason:200}{name:200}\n"


def status_of(batch_id: str, text: str) -> BatchStatus:
    """What the scheduler reads of one id, nothing being unreadable."""
    report = SLURM.parse_status([batch_id], result(text))
    assert report.unreadable == ()
    return report.jobs[batch_id]


def record(batch_id: str) -> BatchRecord:
    """A batch job that the site remembers."""
    return BatchRecord(batch_id, "/site/qsubmit", "/site/qsubmit/qlaunch1")


# --- scripts


@pytest.mark.parametrize(
    ("golden", "settings", "fields"),
    [
        (
            "issue",
            {},
            {
                "nodes": 4,
                "queue": "debug-cache-quad",
                "time_limit_minutes": 60,
                "project": "datascience",
                "job_mode": "serial",
                "wf_filter": "TEST",
            },
        ),
        ("plain", {}, {}),
        ("gpus", {"constraint": "gpu", "queue_is": "qos"}, {"gpus_per_node": 4, "queue": "debug", "mpi": "srun"}),
        (
            "settings",
            {
                "gpus_per_node": 2,
                "gpus_by": "gres",
                "exclusive": False,
                "memory": "16G",
                "constraint": "[rack1|rack2]",
                "options": ("--licenses=scratch:1", "--ntasks-per-node=8"),
            },
            {},
        ),
    ],
)
def test_batch_scripts_hold_what_slurm_and_the_launcher_need(
    golden: str, settings: dict[str, object], fields: dict[str, object]
) -> None:
    script = render_script(
        Slurm(SlurmSettings.model_validate(settings)),
        make_request(**fields),
        Site(Path("/site")),
        TemplateSettings(),
        environ={},
        python="/opt/balsam/bin/python",
    )
    assert script == (DATA / "golden" / f"{golden}.sh").read_text()


def test_a_batch_job_that_wants_no_gpus_gets_none() -> None:
    values = Slurm(SlurmSettings(gpus_per_node=4)).template_values(make_request(gpus_per_node=0))
    assert values["gpus"] == ""


@pytest.mark.parametrize(
    "settings",
    [
        {"constraint": "a b"},
        {"memory": "1G\n#SBATCH -q x"},
        {"options": ("licenses=scratch",)},
        {"options": ("-L x\n",)},
        {"queue_is": "queue"},
        {"gpus_per_node": -1},
    ],
)
def test_settings_that_break_out_of_a_directive_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SlurmSettings.model_validate(settings)


def test_a_directive_of_a_request_stays_on_its_line() -> None:
    request = make_request().model_copy(update={"queue": "a\n#SBATCH -A other"})
    with pytest.raises(ConfigError, match="newline"):
        render_script(SLURM, request, Site(Path("/site")), TemplateSettings(), environ={})


# --- submitting


def test_paths_and_the_users_own_flags_stand_on_the_command_line() -> None:
    request = make_request(output_prefix="/site/100%/q1", sched_flags=("--reservation=r", "-t", "5"))
    command = SLURM.submit_command(request, "/site/100%/q1.sh", dry_run=False)
    assert command
    assert command.argv == (
        *("sbatch", "--parsable", "-D", "/site/qsubmit", "-o", "/site/100%%/q1.out"),
        *("--reservation=r", "-t", "5", "/site/100%/q1.sh"),
    )


def test_a_dry_run_only_tests() -> None:
    command = SLURM.submit_command(make_request(), "/s.sh", dry_run=True)
    assert command
    assert command.argv[:3] == ("sbatch", "--parsable", "--test-only")


@pytest.mark.parametrize(
    ("stdout", "batch_id"),
    [("42\n", "42"), ("42;far\n", "42;far"), (f"{BANNER}42\n\n", "42"), ("42", "42"), ("42\n42\n", "42")],
)
def test_the_id_is_the_line_that_is_one(stdout: str, batch_id: str) -> None:
    assert (
        SLURM.parse_submit(result(stdout, "sbatch: warning: 17 days of project time left\n", 0, "sbatch")) == batch_id
    )


@pytest.mark.parametrize(
    ("stderr", "code", "words"),
    [
        (
            NO_PARTITION,
            1,
            "invalid partition specified: nopart; Batch job submission failed: Invalid partition name specified",
        ),
        (
            "No authentication!\nsbatch: error: Batch job submission failed: Node count specification invalid\n",
            1,
            "Batch job submission failed: Node count specification invalid",
        ),
        ("sbatch: error: Invalid --time specification\n", 255, "Invalid --time specification"),
        (
            "sbatch: unrecognized option '--badopt'\nTry \"sbatch --help\" for more information\n",
            255,
            "unrecognized option '--badopt'",
        ),
        ("", 1, "sbatch ended with exit code 1 and said nothing"),
    ],
)
def test_a_refusal_keeps_slurms_own_words(stderr: str, code: int, words: str) -> None:
    with pytest.raises(SchedulerRejected) as caught:
        SLURM.parse_submit(result("", stderr, code, "sbatch"))
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "said",
    [
        "Unable to contact slurm controller (connect failure)",
        "Socket timed out on send/recv operation",
        "Connection refused",
        "Zero Bytes were transmitted or received",
        "Protocol authentication error",
        "Slurm backup controller in standby mode",
    ],
)
def test_a_submission_without_an_answer_is_not_a_refusal(said: str) -> None:
    with pytest.raises(SchedulerUnavailable, match=said.split("(")[0]):
        SLURM.parse_submit(result("", f"sbatch: error: Batch job submission failed: {said}\n", 1, "sbatch"))


@pytest.mark.parametrize(
    ("stdout", "code"),
    [("", 0), ("Submitted batch job 42\n", 0), ("42\n43\n", 0), ("42\n", 1), ("job 42\n", 0), ("-1\n", 0)],
)
def test_an_id_that_is_not_plain_is_not_guessed(stdout: str, code: int) -> None:
    with pytest.raises(SchedulerNotUnderstood) as caught:
        SLURM.parse_submit(result(stdout, "some words\n", code, "sbatch"))
    assert caught.value.raw == stdout + "some words\n"


# --- status


def test_one_command_asks_for_all_ids_whatever_their_state() -> None:
    assert SLURM.status_command(["7", "6_1"], "ada").argv == ("squeue", "--states=all", FORMAT, "--jobs=7,6_1")
    far = SLURM.status_command(["7;far", "8;away"], "ada").argv
    assert far == ("squeue", "--states=all", FORMAT, "--clusters=away,far", "--jobs=7,8")
    assert "--clusters=all" in SLURM.status_command(["7;far", "8"], "ada").argv
    assert ",qos:80," in Slurm(SlurmSettings(queue_is="qos")).status_command(["7"], "ada").argv[2]


def test_batch_jobs_that_wait_and_run_are_read_from_a_recording() -> None:
    text = (DATA / "squeue-waiting.txt").read_text()
    report = SLURM.parse_status(["65", "66", "68", "69", "70", "99"], result(text))
    assert report == StatusReport(
        {
            "65": BatchStatus(BatchState.RUNNING, "RUNNING", "qlaunch1", "", None, 599.0, "debug", 4),
            "66": BatchStatus(BatchState.QUEUED, "PENDING", "waits", "Resources", None, None, "debug", 2),
            "68": BatchStatus(BatchState.QUEUED, "PENDING", "arr", "Priority", None, None, "debug", 1),
            "69": BatchStatus(BatchState.HELD, "PENDING", "two words|bar", "JobHeldUser", None, None, "debug", 1),
            "70": BatchStatus(
                BatchState.QUEUED,
                "PENDING",
                "fails",
                "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
                queue="shared",
                nodes=1,
            ),
        }
    )


def test_batch_jobs_that_ended_are_read_from_a_recording() -> None:
    text = (DATA / "squeue-mixed.txt").read_text()
    ids = ["65", "70", "73", "74", "68", "68_1", "68_2", "68_3", "68_9"]
    report = SLURM.parse_status(ids, result(text))
    assert {batch_id: (job.state, job.exit_code, job.reason) for batch_id, job in report.jobs.items()} == {
        "65": (BatchState.DONE, 0, ""),
        "70": (BatchState.FAILED, 3, "NonZeroExitCode"),
        "73": (BatchState.FAILED, -9, "JobLaunchFailure"),
        "74": (BatchState.CANCELLED, -15, ""),
        "68": (BatchState.RUNNING, None, ""),
        "68_1": (BatchState.DONE, 0, ""),
        "68_2": (BatchState.RUNNING, None, ""),
        "68_3": (BatchState.QUEUED, None, "JobArrayTaskLimit"),
    }
    assert report.unreadable == ()


def test_nobody_in_the_queue_is_an_answer_and_no_table_is_none() -> None:
    assert SLURM.parse_status(["7", "8"], result(HEADER)) == StatusReport()
    with pytest.raises(SchedulerNotUnderstood):
        SLURM.parse_status(["7"], result(""))


def test_an_unknown_id_alone_is_absent_although_squeue_fails() -> None:
    assert SLURM.parse_status(["99999"], result("", NO_SUCH_JOB, 1)) == StatusReport()


def test_what_stands_before_the_table_is_a_banner() -> None:
    assert status_of("42", f"{BANNER}{HEADER}{row('42')}").state is BatchState.RUNNING
    with pytest.raises(SchedulerNotUnderstood, match="squeue cannot be read") as caught:
        SLURM.parse_status(["42"], result(BANNER))
    assert caught.value.raw == BANNER


@pytest.mark.parametrize(
    "stderr",
    [
        NO_CONTROLLER,
        "slurm_load_jobs error: Socket timed out on send/recv operation\n",
        "squeue: error: 'far' can't be reached now; Problem talking to database\n",
        "squeue: fatal: Unable to process configuration file\n",
    ],
)
def test_a_controller_that_is_down_tells_nothing_of_any_batch_job(stderr: str) -> None:
    with pytest.raises(SchedulerUnavailable):
        SLURM.parse_status(["7"], result("", BANNER + stderr, 1))


def test_an_unknown_state_is_kept_with_its_word() -> None:
    job = status_of("7", HEADER + row("7", "EXPEDITING"))
    assert (job.state, job.raw_state) == (BatchState.UNKNOWN, "EXPEDITING")


@pytest.mark.parametrize("bad", [row("8")[:100], row("8")[:440], row("8", "running"), "x" + row("8"), "8 RUNNING\n"])
def test_a_row_that_cannot_be_read_spoils_no_other(bad: str) -> None:
    report = SLURM.parse_status(["7", "8", "9"], result(HEADER + row("7") + bad.rstrip("\n") + "\n" + row("9")))
    assert set(report.jobs) == {"7", "9"}
    assert report.unreadable == (bad.rstrip("\n"),)


def test_an_answer_that_is_cut_off_loses_only_its_last_row() -> None:
    text = HEADER + row("7") + row("8")
    report = SLURM.parse_status(["7", "8"], result(text[:-300]))
    assert (set(report.jobs), len(report.unreadable)) == ({"7"}, 1)


def test_a_wrapper_that_strips_blanks_changes_nothing() -> None:
    assert status_of("7", HEADER + row("7").rstrip()) == status_of("7", HEADER + row("7"))


def test_ids_of_other_clusters_are_told_apart() -> None:
    text = f"CLUSTER: away\n{HEADER}{row('7', 'PENDING')}\nCLUSTER: far\n{HEADER}{row('7')}{row('8')}"
    report = SLURM.parse_status(["7;far", "7;away", "8;away"], result(text))
    assert {batch_id: job.state for batch_id, job in report.jobs.items()} == {
        "7;far": BatchState.RUNNING,
        "7;away": BatchState.QUEUED,
    }


def test_a_bare_id_that_two_clusters_know_is_not_guessed() -> None:
    text = f"CLUSTER: away\n{HEADER}{row('7', 'PENDING')}CLUSTER: far\n{HEADER}{row('7')}{row('8')}"
    report = SLURM.parse_status(["7", "8"], result(text))
    assert (set(report.jobs), len(report.unreadable)) == ({"8"}, 2)


def test_tasks_of_an_array_that_squeue_cuts_short_are_not_absent_in_silence() -> None:
    cut = row("6_[1-3,5,7,9,...]", "PENDING")
    report = SLURM.parse_status(["6_2", "6_11"], result(HEADER + cut))
    assert (set(report.jobs), report.unreadable) == ({"6_2"}, (cut.rstrip("\n"),))


def test_the_part_of_an_array_that_lives_speaks_for_it() -> None:
    rows = row("6_1", "FAILED", "768") + row("6_2", "COMPLETED")
    assert status_of("6", HEADER + rows).state is BatchState.FAILED
    assert status_of("6", HEADER + rows + row("6_[3-9%2]", "PENDING")).state is BatchState.QUEUED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1-02:00:00", 93600.0),
        ("120:00:00", 432000.0),
        ("9:58", 598.0),
        ("0:00", 0.0),
        *((word, None) for word in ("UNLIMITED", "INVALID", "NOT_SET", "N/A", "", "-0:05", "1:2:3:4", "\uff11:00")),
    ],
)
def test_times_are_read_or_unknown(text: str, seconds: float | None) -> None:
    assert seconds_in(text) == seconds


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0:0", 0),
        ("3:0", 3),
        ("0:9", -9),
        ("3:9", 3),
        ("768", 3),
        ("9", -9),
        ("139", -11),
        ("4294967294", None),
        ("", None),
    ],
)
def test_exit_codes_of_all_commands_are_read_alike(text: str, code: int | None) -> None:
    assert exit_code_in(text) == code


@pytest.mark.parametrize(
    ("text", "count"), [("4", 4), ("2K", 2048), ("1.5K", 1536), ("2-4", 2), ("", None), ("x", None)]
)
def test_counts_of_nodes_may_be_short_or_ranges(text: str, count: int | None) -> None:
    assert count_in(text) == count


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("CONFIGURING", BatchState.STARTING),
        ("COMPLETING", BatchState.ENDING),
        ("STOPPED", BatchState.SUSPENDED),
        ("SIGNALING", BatchState.RUNNING),
        ("STAGE_OUT", BatchState.ENDING),
        ("RESV_DEL_HOLD", BatchState.HELD),
        ("REQUEUED", BatchState.QUEUED),
        ("OUT_OF_MEMORY", BatchState.FAILED),
        ("NODE_FAIL", BatchState.FAILED),
        ("BOOT_FAIL", BatchState.FAILED),
        ("DEADLINE", BatchState.TIMEOUT),
        ("PREEMPTED", BatchState.PREEMPTED),
        ("REVOKED", BatchState.UNKNOWN),
    ],
)
def test_slurms_words_have_their_state(word: str, state: BatchState) -> None:
    assert state_of(word) is state


# --- finding, history


def test_a_batch_job_is_found_by_its_name() -> None:
    command = SLURM.find_command("ql1-abc", "ada")
    assert command
    assert command.argv == ("squeue", "--states=all", FORMAT, "--user=ada", "--name=ql1-abc")
    assert SLURM.parse_find(result(HEADER + row("7", "COMPLETED") + row("12") + row("9"))) == "12"
    assert SLURM.parse_find(result(f"CLUSTER: far\n{HEADER}{row('6_[1-4]', 'PENDING')}")) == "6;far"
    assert SLURM.parse_find(result(BANNER + HEADER)) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (result("", NO_CONTROLLER, 1), SchedulerUnavailable),
        (result("", "squeue: error: Invalid user: ada\n"), SchedulerNotUnderstood),
        (result(HEADER + row("7")[:90]), SchedulerNotUnderstood),
    ],
)
def test_not_finding_for_want_of_an_answer_is_an_error(answer: CommandResult, error: type[SchedulerError]) -> None:
    with pytest.raises(error):
        SLURM.parse_find(answer)


# The form is that of sacct 22.05.8 (2026-11-25); the cases are those of sacct(1).
SACCT = """\
JobID|Cluster|State|ExitCode|NNodes|Partition|JobName
7|loop|COMPLETED|0:0|4|debug|qlaunch1
8|loop|CANCELLED by 1000|0:15|1|debug|two words|bar
9|loop|OUT_OF_MEMORY|0:125|1|debug|qlaunch3
10_[3-4]|loop|PENDING|0:0|1|debug|arr
11|loop|RUNNING|0:0|1|debug|now
12|loop|TIME
"""


def test_history_comes_from_the_queue_while_it_remembers_and_then_from_the_accounts() -> None:
    ids = ["7", "8", "9", "10", "11", "12", "13"]
    commands = SLURM.history_commands([record(batch_id) for batch_id in ids])
    assert [command.argv for command in commands] == [
        ("squeue", "--states=all", FORMAT, "--jobs=7,8,9,10,11,12,13"),
        (
            *("sacct", "--allocations", "--parsable2"),
            "--format=JobID,Cluster,State,ExitCode,NNodes,partition,JobName",
            "--jobs=7,8,9,10,11,12,13",
        ),
    ]
    recent = result(HEADER + row("11", "COMPLETED"))
    report = SLURM.parse_history([record(batch_id) for batch_id in ids], [recent, result(BANNER + SACCT, name="sacct")])
    assert report.jobs["8"] == BatchStatus(
        BatchState.CANCELLED, "CANCELLED", "two words|bar", "CANCELLED by 1000", -15, None, "debug", 1
    )
    assert {batch_id: job.state.value for batch_id, job in report.jobs.items()} == {
        "7": "DONE",
        "8": "CANCELLED",
        "9": "FAILED",
        "10": "QUEUED",
        "11": "DONE",
    }
    assert report.unreadable == ("12|loop|TIME",)


def test_a_cluster_without_accounts_has_the_history_that_squeue_remembers() -> None:
    disabled = result("", "Slurm accounting storage is disabled\n", 1, "sacct")
    recent = result(HEADER + row("7", "FAILED", "768"))
    assert SLURM.parse_history([record("7")], [recent, disabled]).jobs["7"].exit_code == 3
    assert SLURM.parse_history([record("7")], [result("", NO_SUCH_JOB, 1), disabled]) == StatusReport()
    without = Slurm(SlurmSettings(accounting=False))
    assert [command.argv[0] for command in without.history_commands([record("7")])] == ["squeue"]
    assert without.parse_history([record("7")], [recent]).jobs["7"].exit_code == 3
    assert SLURM.history_commands([]) == ()


def test_one_of_two_answers_is_enough_and_none_is_an_error() -> None:
    down = result("", NO_CONTROLLER, 1)
    assert set(SLURM.parse_history([record("7")], [down, result(SACCT, name="sacct")]).jobs) == {"7"}
    with pytest.raises(SchedulerUnavailable):
        SLURM.parse_history(
            [record("7")], [down, result("", "sacct: error: slurmdbd: Connection refused\n", 1, "sacct")]
        )


# --- variables of users


def test_directives_of_the_script_count_more_than_variables_of_whoever_submits() -> None:
    def unset(slurm: Slurm, **fields: object) -> set[str]:
        command = slurm.submit_command(make_request(**fields), "/s.sh", dry_run=False)
        assert command
        return set(command.unset)

    plain = unset(Slurm(SlurmSettings(exclusive=False)))
    assert {"SBATCH_JOB_NAME", "SBATCH_TIMELIMIT"} < plain
    # Of what a script does not say, a variable is the default.
    assert not {"SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_EXCLUSIVE", "SBATCH_GRES"} & plain
    asked = unset(SLURM, project="ada", queue="debug", gpus_per_node=2) - plain
    assert {"SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_EXCLUSIVE", "SBATCH_GRES", "SBATCH_MEM_PER_NODE"} < asked
    assert "SBATCH_QOS" in unset(Slurm(SlurmSettings(queue_is="qos")), queue="debug")


def test_no_filter_of_the_user_hides_batch_jobs() -> None:
    asking = [SLURM.status_command(["7"], "ada"), SLURM.find_command("ql1", "ada"), SLURM.cancel_command(["7"])]
    for command in (*asking, SLURM.history_commands([record("7")])[0]):
        assert command
        assert {"SQUEUE_PARTITION", "SQUEUE_USERS"} < set(command.unset)


# --- cancelling


def test_a_launcher_that_runs_is_told_before_its_batch_job_is_cancelled() -> None:
    assert SLURM.cancel_command(["7", "6_2"]).argv == (
        "sh",
        "-c",
        "run=$(squeue --noheader --states=RUNNING --format=%A --jobs=7,6_2 2>/dev/null | grep -x '[0-9]*'); "
        '[ -z "$run" ] || { scancel --ctld --batch --signal=TERM $run 2>/dev/null; sleep 6; }; '
        "scancel 7 6_2",
    )
    script = SLURM.cancel_command(["7;far", "8", "9;far"]).argv[2]
    assert "; scancel 8; run=$(squeue" in script
    assert script.endswith("; scancel --clusters=far 7 9")


@pytest.mark.parametrize(
    ("squeue", "calls"),
    [
        ("echo Welcome; echo 7; echo 13", ["scancel --ctld --batch --signal=TERM 7 13", "sleep 6", "scancel 7 6"]),
        ("echo Welcome", ["scancel 7 6"]),
        ("exit 1", ["scancel 7 6"]),
    ],
)
def test_cancelling_waits_only_for_what_runs_and_cancels_all(tmp_path: Path, squeue: str, calls: list[str]) -> None:
    log = tmp_path / "log"
    noting = 'echo "${0##*/} $*"'
    for name, text in {"squeue": squeue, "scancel": f"{noting} >>{log}", "sleep": f"{noting} >>{log}"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    subprocess.run(SLURM.cancel_command(["7", "6"]).argv, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert log.read_text().splitlines() == calls


@pytest.mark.parametrize(
    ("stderr", "code", "agreed"),
    [
        ("", 0, {"7", "8;far"}),
        ("scancel: error: Kill job error on job id 7: Invalid job id specified\n", 1, {"7", "8;far"}),
        ("scancel: error: Kill job error on job id 8: Job/step already completing or completed\n", 1, {"7", "8;far"}),
        ("scancel: error: Kill job error on job id 8: Access/permission denied\n", 1, {"7"}),
        (BANNER, 0, {"7", "8;far"}),
        ("Maintenance on Friday: no scancel: connection refused\n", 0, {"7", "8;far"}),
    ],
)
def test_what_is_over_counts_as_cancelled_and_what_is_refused_does_not(
    stderr: str, code: int, agreed: set[str]
) -> None:
    assert SLURM.parse_cancel(["7", "8;far"], result("", stderr, code, "sh")) == agreed


@pytest.mark.parametrize(
    ("stderr", "error", "words"),
    [
        (
            "scancel: error: Kill job error on job id 7: Access/permission denied\n",
            SchedulerRejected,
            "Kill job error on job id 7: Access/permission denied",
        ),
        ("scancel: error: Invalid job id 7;far\n", SchedulerRejected, "Invalid job id 7;far"),
        ("", SchedulerRejected, "scancel ended with exit code 1 and said nothing"),
        (
            "scancel: error: Kill job error on job id 7: Unable to contact slurm controller (connect failure)\n",
            SchedulerUnavailable,
            "Kill job error on job id 7: Unable to contact slurm controller (connect failure)",
        ),
    ],
)
def test_a_cancellation_that_was_not_agreed_to_is_an_error(
    stderr: str, error: type[SchedulerError], words: str
) -> None:
    with pytest.raises(error) as caught:
        SLURM.parse_cancel(["7"], result("", stderr, 1, "sh"))
    assert str(caught.value) == words


# --- whatever the text


_IDS = ("7", "6_2", "8;far")
_LINES = st.one_of(
    st.sampled_from(
        [HEADER, row("7"), row("6_[1-3]", "PENDING"), row("9"), row("8")[:100], "CLUSTER: far\n", SACCT, "\n"]
    ),
    st.sampled_from([NO_SUCH_JOB, NO_CONTROLLER, NO_PARTITION, "42\n", BANNER]),
    st.text(max_size=40),
)
_TEXTS = st.lists(_LINES, max_size=6).map("".join)


@given(_TEXTS, _TEXTS, st.sampled_from([0, 1, 255, -9]))
def test_whatever_is_printed_a_parser_returns_or_raises_one_of_the_three_errors(
    stdout: str, stderr: str, code: int
) -> None:
    answer = CommandResult(("x",), code, stdout, stderr)
    records = [record(batch_id) for batch_id in _IDS]
    for parse in (
        lambda: SLURM.parse_submit(answer),
        lambda: SLURM.parse_status(_IDS, answer),
        lambda: SLURM.parse_find(answer),
        lambda: SLURM.parse_history(records, [answer, answer]),
        lambda: SLURM.parse_cancel(_IDS, answer),
    ):
        with contextlib.suppress(SchedulerUnavailable, SchedulerRejected, SchedulerNotUnderstood):
            parse()


@given(st.lists(_LINES, max_size=6))
def test_no_row_of_a_table_is_dropped_in_silence(lines: Sequence[str]) -> None:
    text = HEADER + "".join(lines)
    report = SLURM.parse_status(_IDS, result(text))
    for line in text.splitlines():
        is_known = not line.strip() or line.startswith(("JOBID ", "CLUSTER: "))
        is_readable = line[:1].isdecimal() and len(line) > 500
        assert is_known or is_readable or line in report.unreadable


# ---- idle nodes ----


def test_only_nodes_that_slurm_keeps_for_nobody_are_idle() -> None:
    rows = [
        "debug|mixed|2",
        "debug|idle|3",
        "regular|planned|4",
        "regular|idle~|5",
        "a|b|idle|1",
        "motd",
        "debug|idle|x",
    ]
    found = SLURM.parse_idle(result("\n".join(rows), name="sinfo"))
    assert found == [IdleNodes("debug", 3), IdleNodes("a|b", 1)]
    with pytest.raises(SchedulerUnavailable):
        SLURM.parse_idle(result("", "slurm_load_partitions: Unable to contact slurm controller (connect failure)", 1))
