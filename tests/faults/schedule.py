"""A seeded schedule: the same seed gives the same faults in the same order; only the machine's timing differs."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.faults import Fault, faults_for
from tests.faults.invariants import Checked
from tests.faults.world import World
from tests.integration.launching import temporary_site
from tests.postgres import PostgresServer

# Each step: how many launchers are to be at work, and what then strikes.
Steps = Callable[[World, random.Random], Iterator[tuple[int, Fault]]]


def run_schedule(
    folder: Path, seed: int, steps: Steps, *, nodes: int = 1, server: PostgresServer | None = None
) -> tuple[Checked, Counter[str]]:
    """Strike step by step, then check; what was checked, and how often each fault found something to strike."""
    chance = random.Random(seed)
    with temporary_site(folder) as site:
        world = World(site, random.Random(seed), nodes, server)
        struck: Counter[str] = Counter()
        for launchers, fault in steps(world, chance):
            world.keep_busy(launchers)
            time.sleep(chance.uniform(0, 0.8))
            world.keep_busy(launchers)
            struck[fault.__name__] += fault(world)
        return world.finish(), struck


def each_once(*faults: Fault) -> Steps:
    """These faults in an order of chance, each striking the only launcher."""
    return lambda world, chance: ((1, fault) for fault in chance.sample(faults, len(faults)))


def for_seconds(seconds: float) -> Steps:
    """Any faults, one or two launchers, until so much time has passed."""

    def steps(world: World, chance: random.Random) -> Iterator[tuple[int, Fault]]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield chance.choice((1, 1, 2)), chance.choice(faults_for(world))

    return steps
