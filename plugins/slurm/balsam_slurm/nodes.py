"""The node source `slurm`: the nodes of a batch job of Slurm, or of an allocation by salloc, from its variables."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from balsam_core.plugins import Allocation, Command, Hardware, LaunchError, Node, NodeSource, Probe
from balsam_slurm.environ import FILTERS_OF_SQUEUE
from balsam_slurm.fields import seconds_in

_PART = re.compile(r"(?:[^,\[\]]|\[[^\[\]]*\])+")
_RANGE = re.compile(r"[\[,](\d+)-(\d+)", re.ASCII)
_CPUS = re.compile(r"(\d{1,6})(?:\(x(\d{1,6})\))?\Z", re.ASCII)
_COUNT = re.compile(r"(?:[\w.-]+:)?(\d{1,4})\Z", re.ASCII)
_MOST_NODES = 100_000
# What Slurm sets for the programs of each maker's GPUs; the first that is there tells the ids.
_GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


class SlurmNodes(NodeSource):
    """Reads what sbatch(1) and salloc(1) list under "OUTPUT ENVIRONMENT VARIABLES"; now: epoch seconds."""

    name = "slurm"

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def discover(self, probe: Probe) -> Allocation | None:
        job_id = probe.environ.get("SLURM_JOB_ID")
        if not job_id:
            return None
        names = _names(probe.environ)
        hardware = _own_hardware(probe, names)
        cpus = _cpus(probe.environ, len(names))
        nodes = tuple(_node(name, count, probe.environ, hardware) for name, count in zip(names, cpus, strict=True))
        return Allocation(nodes, job_id, self._seconds_left(probe, job_id))

    def _seconds_left(self, probe: Probe, job_id: str) -> float | None:
        end = probe.environ.get("SLURM_JOB_END_TIME", "")
        if end.isdecimal():
            return max(float(end) - self._now(), 0.0)
        ask = ("squeue", "--noheader", "--format=%L", f"--jobs={job_id}")
        answer = probe.run(Command(ask, unset=FILTERS_OF_SQUEUE))
        times = [seconds_in(line.strip()) for line in answer.stdout.splitlines()]
        return next((seconds for seconds in times if seconds is not None), None)


def _names(environ: Mapping[str, str]) -> list[str]:
    """The nodes in Slurm's order, which the counts of cores follow."""
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

    variable = "SLURM_JOB_NODELIST" if "SLURM_JOB_NODELIST" in environ else "SLURM_NODELIST"
    text = environ.get(variable, "")
    parts = _PART.findall(text)
    if ",".join(parts) != text or not text or re.search(r"[\s@!&^*?%]", text):
        raise _wrong(variable, text, "a list of nodes, as in node[1-4,7]")
    if sum(int(last) - int(first) for first, last in _RANGE.findall(text)) > _MOST_NODES:
        raise _wrong(variable, text, f"a list of at most {_MOST_NODES} nodes")
    try:
        sets = [NodeSet(part, resolver=RESOLVER_NOGROUP) for part in parts]
    except NodeSetException as error:
        raise _wrong(variable, text, "a list of nodes, as in node[1-4,7]") from error
    return list(dict.fromkeys(str(name) for nodes in sets for name in nodes))


def _cpus(environ: Mapping[str, str], nodes: int) -> list[int | None]:
    """How many cores each node has for us: `8(x2),16` is 8, 8, 16; None: not told."""
    text = environ.get("SLURM_JOB_CPUS_PER_NODE")
    if text is None:
        return [None] * nodes
    counts: list[int | None] = []
    for part in text.split(","):
        match = _CPUS.match(part)
        if match is None:
            raise _wrong("SLURM_JOB_CPUS_PER_NODE", text, "counts, as in 8(x2),16")
        counts += [int(match[1])] * min(int(match[2] or 1), _MOST_NODES)
    if len(counts) != nodes:
        raise _wrong("SLURM_JOB_CPUS_PER_NODE", text, f"one count for each of {nodes} nodes")
    return counts


def _own_hardware(probe: Probe, names: Sequence[str]) -> Hardware | None:
    """This host's, when it is one of the nodes: after salloc it is not, and tells nothing of them."""
    return probe.hardware() if probe.environ.get("SLURMD_NODENAME") in names else None


def _node(name: str, cpus: int | None, environ: Mapping[str, str], hardware: Hardware | None) -> Node:
    variable, gpus = _gpus(environ, hardware)
    node = Node(name, name, gpus=gpus, gpu_variable=variable, memory_mb=_memory_mb(environ, cpus))
    if hardware is None or cpus != len(hardware.cpus):
        # Which ids the cores have that Slurm counts is unknown: nothing is bound.
        return node
    # What Slurm counts are hardware threads, so that each of them stands for a core here.
    memory_mb = hardware.memory_mb if node.memory_mb is None else node.memory_mb
    return replace(
        node,
        cpus=hardware.cpus,
        numa=hardware.numa,
        memory_mb=memory_mb,
    )


def _gpus(environ: Mapping[str, str], hardware: Hardware | None) -> tuple[str, tuple[str, ...]]:
    """The variable that shows GPUs to programs, and the ids of one node's GPUs, which all nodes have alike."""
    variable = next((name for name in _GPU_VARIABLES if name in environ), _GPU_VARIABLES[0])
    shown = environ.get(variable, environ.get("SLURM_JOB_GPUS"))
    if shown is not None:
        words = (word.strip() for word in shown.split(","))
        return variable, tuple(word for word in words if word not in ("", "-1", "NoDevFiles"))
    for name in ("SLURM_GPUS_ON_NODE", "SLURM_GPUS_PER_NODE"):
        if text := environ.get(name):
            counts = [int(match[1]) for part in text.split(",") if (match := _COUNT.match(part))]
            if len(counts) <= text.count(","):
                raise _wrong(name, text, "a number of GPUs, as in 4 or a100:4")
            return variable, tuple(map(str, range(sum(counts))))
    return (variable, ()) if hardware is None else (hardware.gpu_variable, hardware.gpus)


def _memory_mb(environ: Mapping[str, str], cpus: int | None) -> int | None:
    """What Slurm gives on each node; None: it does not say, or gives all."""
    per_node, per_cpu = environ.get("SLURM_MEM_PER_NODE", ""), environ.get("SLURM_MEM_PER_CPU", "")
    if per_node.isdecimal():
        return int(per_node) or None
    return int(per_cpu) * cpus or None if per_cpu.isdecimal() and cpus else None


def _wrong(variable: str, value: str, wanted: str) -> LaunchError:
    return LaunchError(
        f"{variable} is {value!r}, not {wanted}; start the launcher inside a batch job, or use --node-source local"
    )
