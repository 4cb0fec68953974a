"""The faults: each strikes a world once, and says whether it found something to strike."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

import psutil

from tests.faults.invariants import LEASE_SECONDS
from tests.faults.world import World

Fault = Callable[[World], bool]


def kill_launcher(world: World) -> bool:
    """SIGKILL of a launcher."""
    world.launcher().send(signal.SIGKILL)
    return True


def kill_worker(world: World) -> bool:
    """SIGKILL of the process that starts the jobs."""
    return _kill(world.worker())


def kill_launcher_and_worker(world: World) -> bool:
    """SIGKILL of both, so that nobody is left to end the jobs."""
    launcher, worker = world.launcher(), world.worker()
    launcher.send(signal.SIGSTOP)
    _kill(worker)
    launcher.send(signal.SIGKILL)
    return True


def kill_job(world: World) -> bool:
    """SIGKILL of a running job."""
    return _kill(world.job())


def kill_master(world: World) -> bool:
    """SIGKILL of rank 0."""
    return _kill(world.rank(master=True))


def kill_rank(world: World) -> bool:
    """SIGKILL of another rank."""
    return _kill(world.rank(master=False))


def pause_launcher(world: World) -> bool:
    """SIGSTOP of a launcher for less than its lease."""
    return _pause(psutil.Process(world.launcher().pid), world.chance.uniform(0.2, 0.6 * LEASE_SECONDS))


def pause_worker(world: World) -> bool:
    """SIGSTOP of the process that starts the jobs."""
    return _pause(world.worker(), world.chance.uniform(0.2, 1.5))


def pause_job(world: World) -> bool:
    """SIGSTOP of a running job."""
    return _pause(world.job(), world.chance.uniform(0.1, 0.5))


def hang_launcher(world: World) -> bool:
    """SIGSTOP of a launcher beyond its lease, while another one is there to take over."""
    hung = world.launcher()
    hung.send(signal.SIGSTOP)
    try:
        world.launchers = [launcher for launcher in world.launchers if launcher is not hung]
        world.keep_busy(1)
        # Launchers look for dead ones every 2 s.
        time.sleep(LEASE_SECONDS + 2.5)
    finally:
        hung.send(signal.SIGCONT)
        world.launchers.append(hung)
    return True


def hang_master(world: World) -> bool:
    """SIGSTOP of rank 0 for longer than the launcher bears with its silence."""
    return _pause(world.rank(master=True), LEASE_SECONDS + 1)


def hang_rank(world: World) -> bool:
    """SIGSTOP of another rank for longer than the master bears with its silence: a node that is cut off."""
    return _pause(world.rank(master=False), LEASE_SECONDS + 1)


def step_clock(world: World) -> bool:
    """The wall clock jumps by up to a day, forth or back."""
    world.step_clock(world.chance.uniform(-86400, 86400))
    return True


def terminate(world: World) -> bool:
    """SIGTERM of a launcher: no fault, but what a scheduler does in the middle of one."""
    world.launcher().send(signal.SIGTERM)
    return True


def crash_database(world: World) -> bool:
    """Immediate shutdown of the PostgreSQL server, and a restart somewhat later."""
    assert world.server is not None
    world.server.crash()
    time.sleep(world.chance.uniform(0, 1.5 * LEASE_SECONDS))
    world.server.start()
    world.server.run("SELECT 1")
    return True


EVERYWHERE: list[Fault] = [
    kill_launcher,
    kill_worker,
    kill_launcher_and_worker,
    kill_job,
    pause_launcher,
    pause_worker,
    pause_job,
    hang_launcher,
    step_clock,
    terminate,
]
ON_NODES: list[Fault] = [kill_master, kill_rank, hang_master, hang_rank]
ON_POSTGRES: list[Fault] = [crash_database, crash_database]


def faults_for(world: World) -> list[Fault]:
    """Those that can strike this world."""
    return [*EVERYWHERE, *(ON_NODES if world.nodes > 1 else []), *(ON_POSTGRES if world.server else [])]


def _kill(victim: psutil.Process | None) -> bool:
    if victim is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        victim.kill()
    return True


def _pause(victim: psutil.Process | None, seconds: float) -> bool:
    if victim is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        os.kill(victim.pid, signal.SIGSTOP)
        time.sleep(seconds)
        victim.resume()
    return True
