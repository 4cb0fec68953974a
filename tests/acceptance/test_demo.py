"""The demo, with fewer evaluations: a search that adds jobs while it runs, one that fails, one that hangs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.acceptance.runner import CommandLine
from tests.conftest import REQUIRE_ALL

DEMO = Path(__file__).parents[2] / "examples" / "hyperparameter_search" / "demo.py"
EVALUATIONS = 8

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not REQUIRE_ALL and not (find_spec("sklearn") and find_spec("optuna")),
        reason="no scikit-learn or optuna here; pip install 'balsam-core[demo]'",
    ),
]


def test_the_demo_finds_a_good_network_and_shows_a_failure_and_a_timeout(
    balsam: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "demo"
    words = ["--evaluations", str(EVALUATIONS), "--timeout-seconds", "30", "--site", str(site)]
    done = subprocess.run(
        [sys.executable, str(DEMO), *words], capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr

    monkeypatch.chdir(site)
    jobs = {job["name"]: job for job in balsam.jobs()}
    assert sorted(jobs) == [*(f"eval{number:02d}" for number in range(EVALUATIONS)), "search"]
    assert {name for name, job in jobs.items() if job["state"] != "JOB_FINISHED"} == {"eval03"}

    failed = balsam.ok("ls", "--state", "FAILED", "--history").out
    assert "RUN_ERROR] nonzero return 1: Traceback (most recent call last):" in failed
    assert "ValueError: made to fail on purpose" in failed
    assert failed in done.stdout

    (hung,) = balsam.ok("ls", "--tag", "hangs", "--history", "--json").json["jobs"]
    passed = [event["to_state"] for event in hung["events"]]
    assert passed[:5] == ["CREATED", "PREPROCESSED", "RUNNING", "RUN_TIMEOUT", "RESTART_READY"]
    assert passed[-3:] == ["RUNNING", "RUN_DONE", "JOB_FINISHED"]
    assert "met its timeout_seconds: hanging on purpose" in [event["message"] for event in hung["events"]]

    best = json.loads(Path(jobs["search"]["working_directory"], "best.json").read_text())
    rewards = [job["data"]["reward"] for job in jobs.values() if "reward" in job["data"]]
    assert len(rewards) == EVALUATIONS - 1
    assert best["reward"] == max(rewards) > 0.9
    assert jobs["search"]["data"]["best"] == best
    assert f"best point: accuracy {best['reward']:.4f} at hidden " in done.stdout
    assert f"output: {site / 'data' / 'digits'}" in done.stdout


def test_the_demo_leaves_a_site_that_is_there_alone(hello: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO), "--site", str(hello)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "is a site already" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
