"""A batch job that runs: its start, the signals that end it, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from balsam_local.queue import processes
from balsam_local.queue.jobs import BatchJob, State

# What outlives SIGKILL for so long is stuck in the kernel; the queue goes on without it.
_GIVE_UP_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.5


class Running:
    """A started batch job; this process is the parent of its script, and of what the script orphans.

    The script's process stays a zombie until the batch job is over: so long its process group cannot be another's.
    """

    def __init__(self, job: BatchJob, script: subprocess.Popen[bytes]) -> None:
        self.job = job
        self._script = script
        self._verdict: tuple[State, str] | None = None
        self._kill_clock: float | None = None

    @property
    def pid(self) -> int:
        """The process of the script."""
        return self._script.pid

    def stop(self, verdict: State, reason: str) -> bool:
        """SIGTERM to its process group, SIGKILL to all of it after the grace; False: that was done before."""
        if self._verdict is not None:
            return False
        self._verdict = (verdict, reason)
        self._kill_clock = time.monotonic() + self.job.grace_seconds
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGTERM)
        return True

    def ending(self) -> BatchJob:
        """The batch job as it is to be saved once it was stopped."""
        assert self._verdict is not None
        return replace(self.job, state=State.ENDING, reason=self._verdict[1])

    def kill(self) -> None:
        """No more grace."""
        self._kill_clock = time.monotonic()

    def is_over(self) -> bool:
        """Whether nothing of it runs any more; kills what is due to be killed."""
        if self._script.returncode is not None:
            return True
        now = time.monotonic()
        has_ended = self._has_ended()
        if has_ended and self._kill_clock is None:
            self._kill_clock = now  # what the script left behind
        if self._kill_clock is None or (not has_ended and now < self._kill_clock):
            return False
        left = processes.members(self.pid, self.job.start_ticks, self.job.mark)
        if now >= self._kill_clock:
            for one in left:
                processes.kill(one)
        return has_ended and (not left or now > self._kill_clock + _GIVE_UP_SECONDS)

    def end(self) -> tuple[BatchJob, State, str]:
        """How it ended: with the exit code, the state and the reason. Its pid is given back to the system."""
        code = self._script.wait()
        state, reason = self._verdict or _verdict(code)
        return replace(self.job, exit_code=code), state, reason

    def seconds_to_wait(self) -> float:
        """How long until something is due, unless something happens."""
        now = time.monotonic()
        if self._kill_clock is not None:
            return max(self._kill_clock - now, _LOOK_AGAIN_SECONDS if now >= self._kill_clock else 0.0)
        return max((self.job.end_clock or now) - now, 0.0)

    def is_late(self) -> bool:
        """Whether its walltime is over."""
        return self.job.end_clock is not None and time.monotonic() >= self.job.end_clock

    def _has_ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def prepared(job: BatchJob, slots: tuple[int, ...]) -> BatchJob:
    """A batch job that is about to start on these nodes: its time runs from now."""
    return replace(
        job,
        state=State.STARTING,
        slots=slots,
        mark=os.urandom(12).hex(),
        boot_id=processes.boot_id(),
        started_at=time.time(),
        end_clock=time.monotonic() + job.minutes * 60,
    )


def start(job: BatchJob) -> Running:
    """Run the script of a prepared batch job in a session of its own; raises OSError."""
    output = _open_output(job)
    try:
        script = subprocess.Popen(
            [*interpreter(Path(job.script)), job.script],
            cwd=job.workdir,
            env=_environ(job),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=job.umask,
        )
    finally:
        os.close(output)
    found = processes.process(script.pid)
    started = replace(job, state=State.RUNNING, pid=script.pid, start_ticks=found.start_ticks if found else None)
    return Running(started, script)


def interpreter(script: Path) -> list[str]:
    """The words of the first line, `#!/bin/sh -e`, as execve(2) reads them; raises OSError, or ValueError: it has none.

    Like sbatch, the queue does not ask that the script be executable.
    """
    with script.open("rb") as file:
        line = file.readline(4096)
    if not line.startswith(b"#!") or not line[2:].strip():
        raise ValueError("its first line is not like #!/bin/sh")
    return os.fsdecode(line[2:].strip()).split(maxsplit=1)


def _environ(job: BatchJob) -> dict[str, str]:
    end = (job.started_at or 0.0) + job.minutes * 60
    return {
        **job.environ,
        "BALSAM_LOCAL_JOB_ID": str(job.id),
        "BALSAM_LOCAL_NODES": ",".join(job.node_ids),
        "BALSAM_LOCAL_END_TIME": f"{end:.0f}",
        processes.MARK_VARIABLE: job.mark,
    }


def _open_output(job: BatchJob) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
    return os.open(job.output, flags, 0o666 & ~job.umask)


def _verdict(code: int) -> tuple[State, str]:
    if code == 0:
        return State.DONE, ""
    return State.FAILED, f"exit code {code}" if code > 0 else f"killed by signal {-code}"
