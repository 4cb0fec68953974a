"""The node sources `theta` (compute nodes behind a service node) and `cobalt-nodefile` (Cooley, ThetaGPU)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping

from balsam_cobalt.table import seconds_of
from balsam_core.plugins import Allocation, Command, Hardware, LaunchError, Node, NodeSource, Probe

_NODES, _NODE_FILE, _CORES, _END = "COBALT_PARTNAME", "COBALT_NODEFILE", "COBALT_PARTCORES", "COBALT_ENDTIME"
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?\Z")
_FACT = re.compile(r"^[ \t]+(\w+)[ \t]+: (.*)$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"u?'(\w+)': u?'([^']*)'")

# A Xeon Phi 7230, as Theta has it.
_KNL_CORES = 64
_KNL_THREADS_PER_CORE = 4
_KNL_MEMORY_MB = 192 * 1024
_MCDRAM_MB = 16 * 1024
# How much of the MCDRAM is no cache: Cobalt's words, and the percent of cache that may stand for them.
_ADDRESSABLE = {"flat": 1.0, "0": 1.0, "split": 0.75, "25": 0.75, "equal": 0.5, "50": 0.5}
_DOMAINS = {"snc2": 2, "snc4": 4}


class ThetaNodes(NodeSource):
    """Nodes that only aprun reaches, `nid00012`; the modes of their memory are those of the batch job's attrs."""

    name = "theta"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def discover(self, probe: Probe) -> Allocation | None:
        environ = probe.environ
        # `qsub -I` sets COBALT_NODEFILE here too, to a file that is not there.
        if _NODES not in environ or _names_in_file(probe) is not None:
            return None
        facts = _facts(probe)
        attrs = dict(_ATTRIBUTE.findall(facts.get("attrs", "")))
        nodes = tuple(_knl(number, _cores(environ), attrs) for number in _numbers(environ[_NODES]))
        return Allocation(nodes, environ.get("COBALT_JOBID"), _seconds_left(environ, facts, self._clock))


class NodeFileNodes(NodeSource):
    """The hosts in the file COBALT_NODEFILE, each like this one: the first of them runs the launcher."""

    name = "cobalt-nodefile"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def discover(self, probe: Probe) -> Allocation | None:
        environ = probe.environ
        names = _names_in_file(probe)
        if names is None and (_NODE_FILE not in environ or _NODES in environ):
            return None
        if not names:
            what = "which cannot be read" if names is None else "which names no node"
            raise LaunchError(f"{_NODE_FILE} is {environ[_NODE_FILE]!r}, {what}; start the launcher on the first node")
        hardware = probe.hardware()
        facts = {} if _END in environ else _facts(probe)
        nodes = tuple(_like(hardware, name) for name in names)
        return Allocation(nodes, environ.get("COBALT_JOBID"), _seconds_left(environ, facts, self._clock))


def _names_in_file(probe: Probe) -> list[str] | None:
    """The hosts in the node file, each once; None: there is none."""
    file = probe.environ.get(_NODE_FILE)
    text = probe.read_text(file) if file else None
    return None if text is None else list(dict.fromkeys(text.split()))


def _like(hardware: Hardware, hostname: str) -> Node:
    return Node(
        hostname,
        hostname,
        hardware.cpus,
        hardware.threads_per_core,
        hardware.gpus,
        hardware.memory_mb,
        hardware.numa,
        hardware.gpu_variable,
    )


def _knl(number: int, cores: int, attrs: Mapping[str, str]) -> Node:
    name = f"nid{number:05d}"
    domains = _DOMAINS.get(attrs.get("numa", ""), 1)
    width = cores // domains
    cut = tuple(tuple(range(start, start + width)) for start in range(0, width * domains, width or 1))
    extra_mb = int(_ADDRESSABLE.get(attrs.get("mcdram", ""), 0.0) * _MCDRAM_MB)
    return Node(
        name,
        name,
        tuple(range(cores)),
        threads_per_core=_KNL_THREADS_PER_CORE,
        memory_mb=_KNL_MEMORY_MB + extra_mb,
        numa=cut if domains > 1 else (),
        is_remote=True,
    )


def _numbers(value: str) -> list[int]:
    """The node numbers in `2,4-5,7`, each once."""
    return list(dict.fromkeys(number for part in value.split(",") for number in _range(part.strip(), value)))


def _range(part: str, value: str) -> Iterator[int]:
    found = _RANGE.match(part)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if last < first:
        raise _wrong(_NODES, value, "node numbers like 2,4-5,7")
    yield from range(first, last + 1)


def _cores(environ: Mapping[str, str]) -> int:
    value = environ.get(_CORES, str(_KNL_CORES))
    if not re.fullmatch(r"0*[1-9][0-9]{0,3}", value):
        raise _wrong(_CORES, value, "a number of cores")
    return int(value)


def _seconds_left(environ: Mapping[str, str], facts: Mapping[str, str], clock: Callable[[], float]) -> float | None:
    """Until the end that Cobalt set, else as qstat says; None: nobody says."""
    end = environ.get(_END)
    if end is None:
        return seconds_of(facts.get("TimeRemaining"))
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", end):
        raise _wrong(_END, end, "seconds since 1970")
    return max(float(end) - clock(), 0.0)


def _facts(probe: Probe) -> dict[str, str]:
    """What qstat says of this batch job, by its names; nothing when it gives no answer."""
    job_id = probe.environ.get("COBALT_JOBID")
    if not job_id:
        return {}
    result = probe.run(Command(("qstat", "-fl", job_id)))
    answered = result.returncode == 0 and not result.timed_out
    return {name: value.strip() for name, value in _FACT.findall(result.stdout)} if answered else {}


def _wrong(variable: str, value: str, wanted: str) -> LaunchError:
    return LaunchError(f"{variable} is {value!r}, not {wanted}; correct it, or name the nodes by another --node-source")
