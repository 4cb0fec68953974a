"""Starts one rank per node through the site's MPI launcher, and finds out which nodes still answer."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

from balsam_core.commands import run_command
from balsam_core.errors import LaunchError
from balsam_core.launcher.loop import Rules
from balsam_core.launcher.plan import Plan, plan_path
from balsam_core.launcher.program import Program, start_program
from balsam_core.launcher.ranks import words
from balsam_core.launcher.sweep import LAUNCHER_VARIABLE, RANKS_VARIABLE
from balsam_core.models.nodes import Node, Placement
from balsam_core.plugins import Launch, MpiLauncher
from balsam_core.plugins.guarding import mpi_command

_ANSWER_SECONDS = 20.0
_ASKED_AT_ONCE = 16


@dataclass
class RankStarter:
    """Satisfies `head.Ranks`; environ: the launcher's, which jobs inherit."""

    mpi: MpiLauncher
    rules: Rules
    workflow: str
    environ: Mapping[str, str]
    observed: bool
    _marks: list[str] = field(default_factory=list)

    def start(self, nodes: Sequence[Node]) -> Program:
        """Start one rank per node."""
        deadline = self.rules.deadline
        plan = Plan(
            rules=self.rules,
            nodes=tuple(nodes),
            workflow=self.workflow,
            environ=dict(self.environ),
            observed=self.observed,
            seconds_left=None if deadline is None else deadline - time.monotonic(),
        )
        file = plan_path(self.rules.journals, self.rules.launcher_id)
        plan.write(file)
        mark, launcher_id = f"{uuid4()}", str(self.rules.launcher_id)
        argv = words(launcher_id, file, self.rules.lease_seconds, self._marks)
        self._marks.append(mark)
        # By the launcher's id the next launcher finds the ranks of one that was killed.
        command = mpi_command(self.mpi, _launch(argv, nodes, {RANKS_VARIABLE: mark, LAUNCHER_VARIABLE: launcher_id}))
        return start_program(command, self.environ, mark)

    def answering(self, nodes: Sequence[Node]) -> list[Node]:
        """Those on which the MPI launcher can still run a command: asked together, and one by one if that fails."""
        if self._answer(nodes):
            return list(nodes)
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as threads:
            answers = list(threads.map(lambda node: self._answer([node]), nodes))
        return [node for node, answers_well in zip(nodes, answers, strict=True) if answers_well]

    def _answer(self, nodes: Sequence[Node]) -> bool:
        command = mpi_command(self.mpi, _launch(("true",), nodes, {}))
        return run_command(command, _ANSWER_SECONDS, self.environ).returncode == 0


def check_mpi4py(nodes: Sequence[Node]) -> None:
    """Raise LaunchError when the ranks cannot run for want of mpi4py."""
    if importlib.util.find_spec("mpi4py") is None:
        where = f"{len(nodes)} nodes" if len(nodes) > 1 else f"the node {nodes[0].hostname}"
        fewer = "" if nodes[0].is_remote else ", or use --limit-nodes 1"
        raise LaunchError(f"serial mode on {where} needs mpi4py; pip install 'balsam-core[mpi]'{fewer}")


def _launch(argv: Sequence[str], nodes: Sequence[Node], env: Mapping[str, str]) -> Launch:
    """One rank per node, which has all of it: what it starts is bound by its worker."""
    return Launch(
        argv=tuple(argv),
        placements=tuple(Placement(node, node.cpus, node.gpus) for node in nodes),
        env=env,
        threads_per_rank=max(len(nodes[0].cpus), 1),
        affinity="none",
    )
