"""The program that works many nodes: one rank per node, each with its own worker; rank 0 is the master, too.

The launcher starts it as `python -m mpi4py -m balsam_core.launcher.ranks ...`, so that the failure of one rank ends
them all instead of leaving the others to wait. Ranks other than the master pass messages on and know nothing of jobs.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from balsam_core.errors import BalsamError, LaunchError
from balsam_core.launcher.signals import STOPPING
from balsam_core.launcher.sweep import LAUNCHER_VARIABLE, RANKS_VARIABLE, sweep
from balsam_core.launcher.transport import Transport
from balsam_core.launcher.worker_client import WorkerClient, clean_environment, spawn_worker
from balsam_core.sharing import follow_sharing

# MPI_Init of thousands of ranks, and Python from a slow file system.
MEETING_SECONDS = 600


def words(launcher_id: str, plan: Path, silence_seconds: float, former: Sequence[str]) -> tuple[str, ...]:
    """The command of one rank.

    silence_seconds: who hears nothing from the master for so long ends. former: the marks of earlier programs of this
    launcher, of which nothing must be left when this one begins.
    """
    program = (sys.executable, "-m", "mpi4py", "-m", "balsam_core.launcher.ranks")
    return (*program, launcher_id, str(plan), f"{silence_seconds:g}", *former)


def main(launcher_id: str, plan: str, silence_seconds: str, *former: str) -> None:
    """Be one rank, to the end of the program."""
    for number in STOPPING:  # the scheduler signals everybody; the launcher decides what it means
        signal.signal(number, signal.SIG_IGN)
    # Not every MPI launcher hands the umask on.
    follow_sharing(Path(plan).parent)
    for mark in former:
        sweep(mark, variable=RANKS_VARIABLE)
    # Before MPI_Init: a process that has begun MPI had better not fork.
    worker = spawn_worker({**clean_environment(os.environ), LAUNCHER_VARIABLE: launcher_id})
    # In MPI_Init it would wait for ever for a rank that has died: nothing but a signal's default action ends it there.
    signal.alarm(MEETING_SECONDS)
    from mpi4py import MPI

    signal.alarm(0)
    transport = Transport(MPI)
    try:
        if transport.rank == 0:
            # Imported here: the other ranks need neither the database nor anything else of the launcher.
            from balsam_core.launcher.master import lead

            lead(transport, worker, Path(plan))
        else:
            serve(transport, worker, float(silence_seconds))
    except BalsamError as error:
        print(f"rank {transport.rank} on {socket.gethostname()}: {error}", file=sys.stderr, flush=True)
        transport.abort()
    finally:
        worker.close()


def serve(transport: Transport, worker: WorkerClient, silence_seconds: float) -> None:
    """Pass on what the master tells the worker, and what it answers, until the master says that it is over."""
    transport.send(0, [("hello", *own_names())])
    said, heard = time.monotonic(), None
    with selectors.DefaultSelector() as selector:
        selector.register(worker, selectors.EVENT_READ)
        while True:
            if transport.wait(selector, silence_seconds / 4) and (reports := worker.hear()):
                transport.send(0, reports)
                said = time.monotonic()
            for _, messages in transport.receive():
                heard = time.monotonic()
                if messages[0][0] == "end":
                    return
                if messages[0][0] != "beat":
                    worker.tell(messages)
            now = time.monotonic()
            if now - said >= silence_seconds / 4:
                transport.send(0, [("beat",)])
                said = now
            if heard is not None and now - heard > silence_seconds:
                raise LaunchError(f"the master has said nothing for {now - heard:.0f} s")


def own_names() -> tuple[str, ...]:
    """What this node may be called by the allocation; Slurm's nodes may share one host, each with a name of its own."""
    return tuple(name for name in (os.environ.get("SLURMD_NODENAME"), socket.gethostname()) if name)


if __name__ == "__main__":
    main(*sys.argv[1:])
