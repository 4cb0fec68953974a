"""Runs the commands that plugins build, and shows plugins the host: the only place that runs a scheduler's command."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from balsam_core.errors import SchedulerUnavailable
from balsam_core.plugins.contracts import Command, CommandResult, Hardware, Probe

COMMAND_NOT_FOUND = 127
COMMAND_NOT_EXECUTABLE = 126
_SYSTEM_NODES = Path("/sys/devices/system/node")
# How long the pipes of a killed command may stay open: a process that left its group can hold them for ever.
_DRAIN_SECONDS = 1.0


def run_command(command: Command, timeout_seconds: float, environ: Mapping[str, str] | None = None) -> CommandResult:
    """Runs a command to its end or its time limit, in the C locale; its output is read as UTF-8.

    Never raises for what the command does: one that is missing has return code 127, one that cannot be run 126, one
    that ran too long `timed_out`, with what it printed until then; its whole process group is killed.
    """
    base = os.environ if environ is None else environ
    kept = {name: value for name, value in base.items() if name not in command.unset}
    env = {**kept, "LC_ALL": "C", **command.env}
    try:
        process = subprocess.Popen(
            command.argv,
            env=env,
            stdin=subprocess.PIPE if command.stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return _never_ran(command, error, env)
    text = None if command.stdin is None else command.stdin.encode()
    try:
        stdout, stderr = process.communicate(text, timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        stdout, stderr = _kill_group(process)
        return CommandResult(command.argv, -signal.SIGKILL, _text(stdout), _text(stderr), timed_out=True)
    except BaseException:
        _kill_group(process)
        raise
    return CommandResult(command.argv, process.returncode, _text(stdout), _text(stderr))


def answer_of(result: CommandResult) -> CommandResult:
    """`result` when the command ran to its end; SchedulerUnavailable when there is no answer to read."""
    name = result.argv[0]
    if result.timed_out:
        raise SchedulerUnavailable(f"{name} gave no answer in time; raise [scheduler] command_timeout_seconds")
    if result.returncode in (COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE):
        raise SchedulerUnavailable(result.stderr.strip() or f"{name} could not be run")
    return result


class HostProbe(Probe):
    """The real world: this process's environment, files, commands and host."""

    def __init__(self, environ: Mapping[str, str] | None = None, timeout_seconds: float = 30.0) -> None:
        self.environ = dict(os.environ if environ is None else environ)
        self._timeout_seconds = timeout_seconds

    def read_text(self, path: str) -> str | None:
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            return None

    def run(self, command: Command) -> CommandResult:
        return run_command(command, self._timeout_seconds, self.environ)

    def hardware(self) -> Hardware:
        cpus = tuple(sorted(os.sched_getaffinity(0)))
        return Hardware(
            hostname=platform.node(),
            cpus=cpus,
            threads_per_core=_threads_per_core(),
            memory_mb=_memory_mb(),
            gpus=self._gpus(),
            numa=_numa(cpus),
        )

    def _gpus(self) -> tuple[str, ...]:
        """The GPUs that a batch job was given, else all that nvidia-smi lists."""
        visible = self.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is not None:
            return tuple(word.strip() for word in visible.split(",") if word.strip() not in ("", "-1", "NoDevFiles"))
        if shutil.which("nvidia-smi", path=self.environ.get("PATH")) is None:
            return ()
        result = self.run(Command(("nvidia-smi", "-L")))
        return parse_gpu_list(result.stdout) if result.returncode == 0 and not result.timed_out else ()


def parse_gpu_list(text: str) -> tuple[str, ...]:
    """The ids in the output of `nvidia-smi -L`: a GPU's index, or the UUIDs of its MIG slices where it has any."""
    ids: list[str] = []
    whole: str | None = None
    for line in text.splitlines():
        gpu = re.match(r"GPU (\d+):", line)
        mig = re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)
        if gpu:
            whole = gpu[1]
            ids.append(whole)
        elif mig:
            if ids and ids[-1] == whole:
                ids.pop()
            ids.append(mig[1])
    return tuple(ids)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The ids in a kernel's cpu list: `0-3,8` is 0, 1, 2, 3, 8."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def _never_ran(command: Command, error: OSError, env: Mapping[str, str]) -> CommandResult:
    name = command.argv[0]
    if isinstance(error, FileNotFoundError):
        found = shutil.which(name, path=env.get("PATH"))
        why = "its interpreter is missing" if found else "command not found"
        return CommandResult(command.argv, COMMAND_NOT_FOUND, stderr=f"{name}: {why}")
    return CommandResult(command.argv, COMMAND_NOT_EXECUTABLE, stderr=f"{name}: {error.strerror}")


def _kill_group(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Kills the command and what it started; returns what it printed so far."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.communicate(timeout=_DRAIN_SECONDS)
    except subprocess.TimeoutExpired as late:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        return late.stdout or b"", late.stderr or b""


def _text(output: bytes) -> str:
    return output.decode("utf-8", errors="replace")


def _threads_per_core() -> int:
    import psutil

    threads, cores = psutil.cpu_count(logical=True), psutil.cpu_count(logical=False)
    return max(1, threads // cores) if threads and cores else 1


def _memory_mb() -> int:
    import psutil

    return int(psutil.virtual_memory().total // 2**20)


def _numa(cpus: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    usable = set(cpus)
    domains = []
    for folder in sorted(_SYSTEM_NODES.glob("node[0-9]*"), key=lambda path: int(path.name[4:])):
        try:
            listed = parse_cpu_list((folder / "cpulist").read_text())
        except OSError:
            continue
        if domain := tuple(cpu for cpu in listed if cpu in usable):
            domains.append(domain)
    return tuple(domains)
