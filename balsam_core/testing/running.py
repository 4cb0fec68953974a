"""Runs contract suites without pytest: for `balsam plugin check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from balsam_core.plugins.contracts import MpiLauncher, NodeSource, Scheduler
from balsam_core.testing.contracts import MpiLauncherContract, NodeSourceContract, SchedulerContract


@dataclass(frozen=True)
class Finding:
    """One test of one object; problem: None: it passed."""

    subject: str
    test: str
    problem: str | None


def check_scheduler(scheduler: Scheduler) -> list[Finding]:
    """Every test of `SchedulerContract`."""
    suite = SchedulerContract()
    suite.scheduler = scheduler
    return list(_run(f"scheduler {scheduler.name}", suite))


def check_mpi_launcher(launcher: MpiLauncher) -> list[Finding]:
    """Every test of `MpiLauncherContract`."""
    suite = MpiLauncherContract()
    suite.mpi_launcher = launcher
    return list(_run(f"MPI launcher {launcher.name}", suite))


def check_node_source(source: NodeSource) -> list[Finding]:
    """Every test of `NodeSourceContract`, as seen from outside its machine."""
    suite = NodeSourceContract()
    suite.node_source = source
    return list(_run(f"node source {source.name}", suite))


def _run(subject: str, suite: object) -> Iterator[Finding]:
    for name in dir(suite):
        if name.startswith("test_"):
            words = name.removeprefix("test_").replace("_", " ")
            try:
                getattr(suite, name)()
            except Exception as error:  # a plugin is a stranger's code: whatever it raises is a finding
                problem = str(error).splitlines()[0] if str(error) else repr(error)
                if not isinstance(error, AssertionError):
                    problem = f"{type(error).__name__}: {problem}"
                yield Finding(subject, words, problem)
            else:
                yield Finding(subject, words, None)
