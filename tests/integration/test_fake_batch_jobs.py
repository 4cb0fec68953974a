"""Batch jobs of the fake schedulers live and die as those of the real ones do."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from balsam_core.testing import FakeBatch
from balsam_core.testing.fake_batch.jobs import OVER

# What was recorded of a batch job of Cobalt on Theta, 2026-11-23, without --env and what every shell adds.
RECORDED_ON_THETA = (
    *("COBALT_ENDTIME", "COBALT_JOBID", "COBALT_JOBSIZE", "COBALT_PARTCORES", "COBALT_PARTNAME", "COBALT_PARTSIZE"),
    *("COBALT_PROJECT", "COBALT_QUEUE", "COBALT_STARTTIME", "HOME", "LOGNAME", "PATH", "SHELL", "USER"),
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: str) -> str:
    """What a command prints; it succeeds."""
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def script(name: str, text: str) -> str:
    file = Path(name).absolute()
    file.write_text(f"#!/bin/bash\n{text}\n")
    file.chmod(0o755)
    return str(file)


def wait_for(file: str) -> None:
    until = time.monotonic() + 30
    while not Path(file).exists():
        assert time.monotonic() < until, f"there is no {file}"
        time.sleep(0.05)


def test_a_deleted_script_of_pbs_has_time_to_end_when_it_is_its_own_shell(fake_pbs: FakeBatch) -> None:
    for name, shell in (("plain", []), ("own", ["-S", str(Path("own.sh").absolute())])):
        file = script(
            f"{name}.sh",
            f"cd $PBS_O_WORKDIR; trap 'sleep 0.5; touch {name}.ended; exit 0' TERM\n"
            f"touch {name}.runs; while :; do sleep 0.1; done",
        )
        run("qsub", *shell, file)
        wait_for(f"{name}.runs")
    run("qdel", "0", "1.vm")
    fake_pbs.wait_idle()
    assert [job.exit_status for job in fake_pbs.jobs()] == [-15, 0]
    assert [Path(f"{name}.ended").exists() for name in ("plain", "own")] == [False, True]


def test_the_walltime_kills_what_ignores_its_warning(fake_pbs: FakeBatch) -> None:
    fake_pbs.configure(grace_seconds=0.5)
    run("qsub", "-l", "walltime=1", script("deaf.sh", "trap '' TERM; while :; do sleep 0.1; done"))
    fake_pbs.wait_idle()
    (job,) = fake_pbs.jobs()
    assert (job.state, job.stopped) == (OVER, "walltime")
    assert '"Exit_status":\t-29' in run("qstat", "-xf", "-F", "json", "0")


def test_a_batch_job_of_cobalt_has_the_recorded_environment_and_log(fake_cobalt: FakeBatch) -> None:
    words = ("-A", "myproj", "-n", "2", "-t", "10", "--env", "FOO=bar:BAZ=1", "-O", "hello")
    assert run("qsub", *words, script("job.sh", "env -0; exit 7")) == "1\n"
    fake_cobalt.wait_idle()
    found = dict(line.split("=", 1) for line in Path("hello.output").read_text().split("\0") if line)
    assert found.keys() >= {*RECORDED_ON_THETA, "FOO", "BAZ"}
    assert (found["COBALT_PARTNAME"], found["PATH"]) == ("1-2", "/usr/local/bin:/usr/bin:/bin")
    log = Path("hello.cobaltlog").read_text()
    assert log.startswith(f"Jobid: 1\nqsub {' '.join(words)} ")
    assert re.search(
        r"^\w{3} \w{3} \d\d [\d:]{8} \d{4} \+0000 \(UTC\) Info: task completed normally with an exit code of 7; "
        r"initiating job cleanup and removal$",
        log,
        re.MULTILINE,
    )


def test_batch_jobs_wait_their_turn_and_end_with_the_test(fake_cobalt: FakeBatch) -> None:
    fake_cobalt.configure(nodes=("1", "2"))
    long = script("long.sh", "exec sleep 300")
    for nodes in ("2", "1", "1"):
        run("qsub", "-n", nodes, "-t", "10", long)
    states = run("qstat", "--header", "JobID:State").splitlines()[2:]
    assert [line.split() for line in states] == [["1", "running"], ["2", "queued"], ["3", "queued"]]
    run("qsub", "-n", "1", "-t", "10", long)
    run("qdel", "4", "1")
    until = time.monotonic() + 30
    while [job.state for job in fake_cobalt.jobs()] != [OVER, "running", "running", OVER]:
        assert time.monotonic() < until, fake_cobalt.jobs()
        time.sleep(0.05)
    fake_cobalt.end_all()
    assert {job.state for job in fake_cobalt.jobs()} == {OVER}
