"""Which launchers and batch jobs would take a job, and why each does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction

from balsam_core.explain.facts import JobFacts, LauncherFacts, NodeShape, WaitingLaunch
from balsam_core.explain.words import batch_job_named, launcher_named, part, sentence
from balsam_core.launcher.modes import JobMode, MpiMode, SerialMode, need_of
from balsam_core.launcher.placement import Refusal
from balsam_core.models.batch import LaunchState
from balsam_core.models.job import Job
from balsam_core.models.nodes import Node
from balsam_core.state.filters import glob_pattern


@dataclass(frozen=True)
class Offer:
    """What a launcher has for jobs, or would have; seconds None: not known."""

    job_mode: str
    workflow: str
    nodes: int
    seconds: float | None


def offer_of(taker: LauncherFacts | WaitingLaunch) -> Offer:
    """What a launcher, or that of a batch job, has for jobs."""
    if isinstance(taker, LauncherFacts):
        return Offer(taker.job_mode, taker.workflow, taker.nodes, taker.most_seconds_left)
    job = taker.job
    return Offer(job.job_mode, job.wf_filter or "", job.nodes, taker.usable_seconds)


def wrong_workflow(job: Job, workflow: str) -> str | None:
    """Why a workflow filter leaves the job out; None: it does not."""
    if not workflow or fnmatchcase(job.workflow, glob_pattern(workflow)):
        return None
    return f"it runs jobs of the workflow {workflow!r}, and this one is of {job.workflow!r}"


def refusal(job: Job, offer: Offer, shape: NodeShape) -> str | None:
    """Why an offer is never taken up by the job; None: nothing that is known keeps them apart."""
    found = wrong_workflow(job, offer.workflow)
    if found is None and (why := never(job, offer, shape)) is not None:
        # A launcher may have been told otherwise, by `--gpus-per-node`.
        by = ", by the settings" if why.text == is_hopeless(job, shape) else ""
        found = f"the job {why.text}{by}"
    return found


def never(job: Job, offer: Offer, shape: NodeShape) -> Refusal | None:
    """What the launcher itself would say of a job that is in its workflow, with every node free."""
    node = _node(job, shape)
    kind: type[JobMode] = MpiMode if offer.job_mode == "mpi" else SerialMode
    return kind([node] * offer.nodes, offer.workflow).why_not(job, offer.seconds)


def is_hopeless(job: Job, shape: NodeShape) -> str | None:
    """What no launcher's nodes have, by the settings; None: nothing of that sort is known."""
    right = Offer("mpi" if job.num_ranks > 1 else "serial", "", job.num_nodes, None)
    why = never(job, right, shape)
    return None if why is None else why.text


def share_of(job: Job) -> Fraction:
    """How much of nodes the job takes."""
    return Fraction(job.num_nodes, need_of(job, Node("", "")).packing)


def takers(facts: JobFacts) -> Iterator[str]:
    """For each launcher that lives and each open batch job: whether it takes the runnable job, or why not."""
    for launcher in facts.launchers:
        yield sentence(f"{launcher_named(launcher)} {_launcher_says(facts, launcher)}")
    for launch in facts.launches:
        yield sentence(f"{batch_job_named(launch.job)} {_launch_says(facts, launch)}")
    if not facts.launchers:
        yield "No launcher runs." if facts.launches else "No launcher runs, and no batch job waits or runs."
    if facts.service is not None:
        why = wrong_workflow(facts.job, facts.service.workflow)
        does = f"submits none for it: {why}" if why else "submits batch jobs while work remains"
        yield sentence(f"{launcher_named(facts.service)} {does}")


def would_take(facts: JobFacts, one: LauncherFacts | WaitingLaunch) -> bool:
    """Whether nothing that is known keeps a launcher, or the one of a batch job, from taking the runnable job."""
    return refusal(facts.job, offer_of(one), facts.shape) is None


def not_known(facts: JobFacts) -> Iterator[str]:
    """What the site cannot know of the nodes, and the job depends on."""
    if facts.job.gpus_per_rank and facts.shape.gpus is None:
        yield "It asks for GPUs; how many a launcher finds on its nodes is not known here."
    if facts.job.memory_mb and facts.shape.memory_mb is None:
        yield "It asks for memory; how much a launcher finds on its nodes is not known here."
    if facts.job.wall_time_minutes and any(one.most_seconds_left is None for one in facts.launchers):
        yield "It declares a wall time; how long a launcher outside of batch jobs may run is not known here."


def _launcher_says(facts: JobFacts, launcher: LauncherFacts) -> str:
    why = refusal(facts.job, offer_of(launcher), facts.shape)
    if why is not None:
        return f"does not take it: {why}"
    share = share_of(facts.job)
    if launcher.nodes_taken + share > launcher.nodes:
        taken = f"{part(launcher.nodes_taken)} of its {launcher.nodes}"
        return f"has no room for it now: its jobs take {taken}, and this one needs {part(share)}"
    if facts.ahead:
        return f"could take it; runnable jobs of the site that come first: {facts.ahead}"
    return "could take it: nothing that is recorded keeps it from that"


def _launch_says(facts: JobFacts, launch: WaitingLaunch) -> str:
    why = refusal(facts.job, offer_of(launch), facts.shape)
    job = launch.job
    stands = f"is {job.state.value}" + (f" ({job.scheduler} says {said})" if (said := says(launch)) else "")
    if job.state is LaunchState.RUNNING:
        stands += ", but no launcher of it lives"
    return f"{stands}, and would not take it: {why}" if why else f"{stands}, and would take it"


def says(launch: WaitingLaunch) -> str:
    """The scheduler's words; empty: none yet."""
    return ": ".join(word for word in (launch.job.raw_state, launch.job.reason) if word)


def _node(job: Job, shape: NodeShape) -> Node:
    # Of what is not known there is enough: nothing is refused on a guess.
    gpus = (job.gpus_per_rank or 0) * job.ranks_per_node if shape.gpus is None else shape.gpus
    return Node("node", "node", gpus=tuple(map(str, range(gpus))), memory_mb=shape.memory_mb)
