"""The fake schedulers print what the real ones printed, word for word, and know whose faults they play."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from balsam_core.testing.fake_batch import cobalt_printing, pbs_printing
from balsam_core.testing.fake_batch.faults import faults_of
from balsam_core.testing.fake_batch.handle import PBS
from balsam_core.testing.fake_batch.jobs import OVER, RUNNING, BatchJob

DATA = Path(__file__).parents[1] / "data"
# 2026-11-23 03:46:55 UTC, to the microsecond that PBS's queue_rank tells.
PBS_SUBMITTED = 1795405615.160887


@pytest.fixture(autouse=True)
def _recorded_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def pbs_job(**fields: Any) -> BatchJob:
    """The batch job 0.vm of the recordings."""
    variables = {
        "PBS_O_HOME": "/home/user",
        "PBS_O_LANG": "C.UTF-8",
        "PBS_O_PATH": "/opt/pbs/bin:/usr/local/bin:/usr/bin:/bin",
        "PBS_O_SHELL": "/bin/bash",
        "PBS_O_INTERACTIVE_AUTH_METHOD": "resvport",
        "PBS_O_INTERACTIVE_ENCRYPT_METHOD": "",
        "PBS_O_WORKDIR": "/home/user/run",
        "PBS_O_SYSTEM": "Linux",
        "PBS_O_QUEUE": "workq",
        "PBS_O_HOST": "localhost",
    }
    facts = {
        "chunk": {"ncpus": 8, "mpiprocs": 2},
        "resources": {"select": "2:ncpus=8:mpiprocs=2", "walltime": "00:02:00", "place": "scatter"},
        "options": {"-j": "oe"},
        "login": {"HOME": "/home/user"},
        "variables": variables,
    }
    job = a_job(
        number=0,
        name="pbsjob",
        nodes=2,
        walltime_seconds=120.0,
        queue="workq",
        project="myproj",
        output="/home/user/run/pbsjob.o0",
        error="/home/user/run/pbsjob.o0",
        submitted_at=PBS_SUBMITTED,
        words=("pj1.sh",),
        hosts=("node1", "node2"),
        pid=10887,
        started_at=PBS_SUBMITTED,
        state=RUNNING,
        facts=facts,
    )
    return replace(job, **fields)


def a_job(**fields: Any) -> BatchJob:
    given = {"name": "", "user": "root", "project": "p", "argv": ("job.sh",), "cwd": "/home/user/run"}
    return BatchJob(**{**given, "output": "out", "error": "err", "facts": {"attrs": {}, "path": ""}, **fields})


def recorded(name: str) -> str:
    """A recording, without the line that says what it is."""
    return (DATA / name).read_text().partition("\n")[2]


def test_a_running_batch_job_of_pbs_is_printed_as_recorded() -> None:
    recording = recorded("pbs/running.txt")
    now = json.loads(recording)["timestamp"]
    # The server learns of used time every few seconds; the fake tells it at once.
    printed = pbs_printing.as_json(PBS, [pbs_job(started_at=PBS_SUBMITTED)], now).replace(
        '"walltime":\t"00:00:02"', '"walltime":\t"00:00:00"'
    )
    assert _without_mtime(printed) == _without_mtime(recording)


def test_a_deleted_batch_job_of_pbs_is_printed_as_recorded() -> None:
    recording = recorded("pbs/finished.txt")
    job = pbs_job(state=OVER, stopped="delete", stopped_by="root@localhost", exit_status=0, ended_at=1795405621.0)
    assert pbs_printing.as_json(PBS, [job], json.loads(recording)["timestamp"]) == recording


def test_nothing_known_is_printed_as_recorded() -> None:
    assert pbs_printing.as_json(PBS, [], 1795405620) == recorded("pbs/unknown.txt")


def test_the_table_of_pbs_has_its_columns_where_they_were() -> None:
    jobs = [
        pbs_job(state="queued", started_at=None),
        pbs_job(number=1, name="viaopts", state="held", started_at=None),
    ]
    assert pbs_printing.as_table(jobs) == (
        "Job id            Name             User              Time Use S Queue\n"
        "----------------  ---------------- ----------------  -------- - -----\n"
        "0.vm              pbsjob           root                     0 Q workq           \n"
        "1.vm              viaopts          root                     0 H workq           \n"
    )


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"exit_status": 7}, 7),
        ({"exit_status": -15, "stopped": "delete"}, 271),
        ({"exit_status": -15, "stopped": "walltime"}, -29),
        ({"exit_status": 0, "stopped": "walltime"}, -29),
        ({"exit_status": None}, None),
    ],
)
def test_exit_statuses_of_pbs_are_its_own(fields: dict[str, Any], status: int | None) -> None:
    assert pbs_printing.exit_status(pbs_job(**fields)) == status


def test_the_tables_of_cobalt_are_printed_as_recorded() -> None:
    submitted = 1795406469.0
    waiting = {"submitted_at": submitted, "queue": "default"}
    running = {"state": RUNNING, "started_at": submitted + 40}
    jobs = [
        a_job(number=3, name="hello", nodes=2, walltime_seconds=600, hosts=("1", "3"), **waiting, **running),
        a_job(number=4, name="four", nodes=4, walltime_seconds=3600, **waiting),
        a_job(number=5, nodes=3, walltime_seconds=420, state="held", **waiting),
        a_job(number=6, name="tmo", nodes=2, walltime_seconds=60, **waiting),
        a_job(number=7, name="big", nodes=6, walltime_seconds=1800, **waiting),
        a_job(
            number=8,
            name="fail",
            nodes=1,
            walltime_seconds=1800,
            hosts=("8",),
            submitted_at=submitted,
            queue="debug-cache-quad",
            state=RUNNING,
            started_at=submitted + 35,
        ),
    ]
    columns = ["JobID", "JobName", "User", "WallTime", "RunTime", "Nodes", "State", "Queue", "Location"]
    assert cobalt_printing.as_table(jobs, columns, submitted + 40) == recorded("cobalt/qstat_header.txt")
    assert cobalt_printing.as_table(
        [], ["JobID", "User", "WallTime", "Nodes", "State", "Location"], submitted
    ) == recorded("cobalt/qstat_nobody.txt")
    deleted = [a_job(number=number, nodes=1, walltime_seconds=60, **waiting) for number in (5, 7)]
    assert f"      Deleted Jobs\n{cobalt_printing.shown_ids(deleted)}" == recorded("cobalt/qdel.txt")


def test_node_numbers_of_cobalt_are_written_as_ranges() -> None:
    shown = [
        cobalt_printing.locations(
            a_job(number=1, nodes=1, walltime_seconds=1, queue="q", submitted_at=0, hosts=tuple(hosts))
        )
        for hosts in ("12345", "136", "24578")
    ]
    assert shown == ["1-5", "1,3,6", "2,4-5,7-8"]


def test_a_fault_of_one_command_beats_that_of_all_and_the_file_beats_the_environment() -> None:
    environ = {"FAKE_BATCH_EXIT_CODE": "1", "FAKE_BATCH_QSTAT_EXIT_CODE": "2"}
    codes = [faults_of(command, environ).exit_code for command in ("qsub", "qstat")]
    from_file = faults_of("qstat", {"FAKE_BATCH_EXIT_CODE": "3"}, environ).exit_code
    assert (codes, from_file) == ([1, 2], 3)


def _without_mtime(text: str) -> str:
    """The recorded batch job was touched two seconds after its start, for reasons of PBS's own."""
    return "\n".join(line for line in text.splitlines() if '"mtime"' not in line)
