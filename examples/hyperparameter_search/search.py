"""The search: asks an optimizer for points, adds one job per point, and tells it the rewards that come back.

It runs as a job itself. While it runs, the launcher that started it takes the evaluations that it adds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import optuna

from balsam.launcher import dag
from balsam.launcher.dag import BalsamJob

ENDED = ("JOB_FINISHED", "FAILED", "USER_KILLED")


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """One point of the search space: a small neural network."""
    return {
        "hidden": trial.suggest_int("hidden", 8, 128, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "alpha": trial.suggest_float("alpha", 1e-6, 1e-1, log=True),
    }


def add_evaluation(number: int, point: dict[str, Any], options: argparse.Namespace) -> BalsamJob:
    """One job that trains the network at `point`; one is broken on purpose, and one hangs at its first attempt."""
    flag = {options.broken: "--broken", options.hanging: "--hang-once"}.get(number, "")
    return dag.add_job(
        name=f"eval{number:02d}",
        workflow=dag.current_job.workflow,
        application="train",
        args=f"'{json.dumps(point)}' {flag}",
        tags={"hangs": "once"} if number == options.hanging else {},
        data={"point": point},
        node_packing_count=options.packing,
        timeout_seconds=options.timeout_seconds,
    )


def main() -> None:
    """Keep a few evaluations in flight until enough have ended; leave the best point in `job.data` and best.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--packing", type=int, default=4, help="how many jobs share a node; so many are in flight")
    parser.add_argument("--timeout-seconds", type=float, default=15)
    parser.add_argument("--broken", type=int, default=3, help="the number of the evaluation that is made to fail")
    parser.add_argument("--hanging", type=int, default=5, help="the number of the one that is made to hang")
    options = parser.parse_args()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=7))
    in_flight: dict[Any, optuna.Trial] = {}
    added = ended = 0
    while ended < options.evaluations:
        while added < options.evaluations and len(in_flight) < options.packing:
            trial = study.ask()
            in_flight[add_evaluation(added, suggest(trial), options).pk] = trial
            added += 1
        for job in BalsamJob.objects.filter(pk__in=list(in_flight), state__in=ENDED):
            trial = in_flight.pop(job.pk)
            if job.state == "JOB_FINISHED":
                study.tell(trial, job.data["reward"])
            else:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            ended += 1
            print(f"{ended:3d} {job.name} {job.state} {job.data.get('reward', '-')}", flush=True)
        time.sleep(0.1)
    best = {"reward": study.best_value, "point": study.best_params}
    Path("best.json").write_text(json.dumps(best, indent=2) + "\n")
    dag.current_job.data["best"] = best
    dag.current_job.save()


if __name__ == "__main__":
    main()
