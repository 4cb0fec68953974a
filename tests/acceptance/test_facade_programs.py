"""Whole programs in the manner of 2019, run by a real launcher as jobs that create jobs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.acceptance.runner import CommandLine, run_installed

PROGRAMS = Path(__file__).parents[1] / "data" / "programs"


def test_a_search_and_an_ensemble_manager_run_unmodified(balsam: CommandLine, site: Path) -> None:
    for name in ("search", "ensemble"):
        balsam.ok("app", "--name", name, "--exe", str(PROGRAMS / f"{name}.py"))
        balsam.ok("job", "--name", name, "--workflow", name, "--app", name, "--node-packing", "12", "--yes")
    ran = run_installed("launcher", "--consume-all", cwd=site)
    assert ran.code == 0, ran.err
    jobs = {job["name"]: job for job in balsam.jobs()}
    search, ensemble = jobs["search"], jobs["ensemble"]
    history = balsam.ok("ls", "--history").out
    assert (search["state"], ensemble["state"]) == ("JOB_FINISHED", "JOB_FINISHED"), history
    objectives = {f"task{number}": -((number / 4 - 1) ** 2) for number in range(6)}
    assert search["data"]["results"] == {**objectives, "task1": sys.float_info.min}
    assert {name: jobs[name]["state"] for name in ("task1", "task6", "slow.genfunc_0")} == {
        "task1": "FAILED",
        "task6": "USER_KILLED",
        "slow.genfunc_0": "USER_KILLED",
    }
    printed = Path(ensemble["working_directory"], "ensemble.out").read_text()
    assert printed == "sim.simfunc_0.out sim.simfunc_1.out sim.simfunc_2.out\n"
    point = json.loads(jobs["task5"]["args"].strip("'"))
    assert point == {"number": 5, "x": 1.25}
