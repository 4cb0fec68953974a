"""The node source `pbs`: the nodes in PBS_NODEFILE, each with what the head node has."""

from __future__ import annotations

from balsam_core.plugins import Allocation, Command, Hardware, LaunchError, Node, NodeSource, Probe
from balsam_pbs.qstat import read_jobs
from balsam_pbs.states import status_of


class PbsNodes(NodeSource):
    """Answers inside a batch job of PBS, also an interactive one (`qsub -I`)."""

    name = "pbs"

    def discover(self, probe: Probe) -> Allocation | None:
        job_id = probe.environ.get("PBS_JOBID")
        if not job_id:
            return None
        names = _names(probe, job_id)
        hardware = probe.hardware()
        gpus = _gpus(hardware, len(names))
        nodes = tuple(_node(name, hardware, gpus) for name in names)
        return Allocation(nodes, job_id=job_id, seconds_left=_seconds_left(probe, job_id))


def _names(probe: Probe, job_id: str) -> list[str]:
    """The hosts in their order, each once: the file has a line for every MPI process that was asked for."""
    path = probe.environ.get("PBS_NODEFILE")
    if not path:
        raise LaunchError(
            f"PBS_JOBID is {job_id!r} and PBS_NODEFILE is not set; start the launcher in the batch job's own shell"
        )
    text = probe.read_text(path)
    names = list(dict.fromkeys((text or "").split()))
    if not names:
        what = "cannot be read" if text is None else "names no node"
        raise LaunchError(f"PBS_NODEFILE is {path!r}, which {what}; start the launcher on the batch job's first node")
    return names


def _node(name: str, hardware: Hardware, gpus: tuple[str, ...]) -> Node:
    return Node(
        id=name,
        hostname=name,
        cpus=hardware.cpus,
        threads_per_core=hardware.threads_per_core,
        gpus=gpus,
        memory_mb=hardware.memory_mb,
        numa=hardware.numa,
        gpu_variable=hardware.gpu_variable,
    )


def _gpus(hardware: Hardware, nodes: int) -> tuple[str, ...]:
    """The GPUs of every node: an id that only the head node's GPU has says nothing of the others, a number does."""
    if nodes == 1 or all(gpu.isdigit() for gpu in hardware.gpus):
        return hardware.gpus
    return tuple(str(number) for number in range(len(hardware.gpus)))


def _seconds_left(probe: Probe, job_id: str) -> float | None:
    """What the server says; None: it does not say. The environment of a job does not hold its end."""
    # A job has the PATH of PBS's daemon; that of who submitted has found qsub.
    path = ":".join(probe.environ[name] for name in ("PATH", "PBS_O_PATH") if probe.environ.get(name))
    command = Command(("qstat", "-f", "-F", "json", job_id), {"PATH": path} if path else {})
    answer = read_jobs(probe.run(command).stdout)
    left = [status_of(job).seconds_left for job in answer.jobs.values()] if answer else []
    return left[0] if len(left) == 1 else None
