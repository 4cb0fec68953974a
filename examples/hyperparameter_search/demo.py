"""`make demo`: a whole hyperparameter search on this machine, through the same commands that a user types."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BALSAM = str(Path(sys.executable).parent / "balsam")
WORKFLOW = "digits"


def balsam(site: Path, *words: str) -> None:
    """Run one command in the demo's site, and show it as a shell would."""
    print(f"\n$ balsam {shlex.join(words)}", flush=True)
    environ = {**os.environ, "BALSAM_DB_PATH": str(site)}
    subprocess.run([BALSAM, *words], cwd=ROOT, env=environ, check=True, timeout=300)


def make_site(site: Path) -> None:
    """A new site; the demo leaves one that is there alone."""
    if (site / "settings.toml").exists():
        sys.exit(f"{site} is a site already; give --site another folder")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BALSAM_")}
    print(f"$ balsam init {site.name}", flush=True)
    subprocess.run([BALSAM, "init", str(site)], env=environ, check=True, timeout=60)


def add_search(site: Path, evaluations: int, timeout_seconds: float) -> None:
    """Define the two applications, and add the one job that adds all others."""
    say("two applications: `search` picks points, `train` trains a network at one point")
    for name in ("search", "train"):
        balsam(site, "app", "--name", name, "--executable", str((HERE / f"{name}.py").relative_to(ROOT)))
    # The search mostly waits, and one evaluation hangs for a while: two more at a time than there are cores.
    packing = len(os.sched_getaffinity(0)) + 2
    args = f"--evaluations {evaluations} --packing {packing} --timeout-seconds {timeout_seconds:g}"
    say(f"one job, which adds {evaluations} evaluations while it runs; {packing} jobs share this machine")
    balsam(site, "job", "--name", "search", "--workflow", WORKFLOW, "--application", "search",
           "--args", args, "--node-packing-count", str(packing), "--yes")  # fmt: skip


def show(site: Path) -> None:
    """What came of it: the jobs, the one that failed, the one that was stopped and ran again, the best point."""
    say("every job, and how many are in each state")
    balsam(site, "ls", "--wf", WORKFLOW)
    balsam(site, "ls", "--wf", WORKFLOW, "--by-states")
    say("one evaluation was made to fail: its history holds the traceback")
    balsam(site, "ls", "--wf", WORKFLOW, "--state", "FAILED", "--history")
    say("one hung: it met its timeout_seconds, was stopped, ran again and finished")
    balsam(site, "ls", "--wf", WORKFLOW, "--tag", "hangs", "--history")
    found = next((site / "data" / WORKFLOW).glob("search_*/best.json"))
    best = json.loads(found.read_text())
    point = ", ".join(f"{name} {value:.4g}" for name, value in best["point"].items())
    print(f"best point: accuracy {best['reward']:.4f} at {point}")
    print(f"output: {site / 'data' / WORKFLOW}")


def say(text: str) -> None:
    """A line for whoever watches."""
    print(f"\n# {text}", flush=True)


def main() -> None:
    """Make a site, add the search, run the launcher, and show what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=40, help="how many points to try (default: 40)")
    parser.add_argument("--timeout-seconds", type=float, default=15, help="of each evaluation (default: 15)")
    parser.add_argument("--site", type=Path, help="a new folder to work in (default: demo-site, made anew)")
    options = parser.parse_args()
    began = time.monotonic()
    site = (options.site or ROOT / "demo-site").absolute()
    if options.site is None and (site / ".balsam-site").is_file():
        shutil.rmtree(site)
    try:
        make_site(site)
        add_search(site, options.evaluations, options.timeout_seconds)
        say("the launcher runs whatever can run, until nothing is left")
        balsam(site, "launcher", "--wf-filter", WORKFLOW, "--job-mode", "serial")
        show(site)
    except subprocess.CalledProcessError as error:
        sys.exit(f"demo: `balsam {error.cmd[1]}` failed; see above, and {site / 'log'}")
    except KeyboardInterrupt:
        sys.exit(f"demo: interrupted; the site {site} stays as it is")
    print(f"all of it took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
