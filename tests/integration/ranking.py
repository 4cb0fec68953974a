"""Looks at the processes of a launcher of several nodes."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import psutil

from tests.integration.launching import Launcher, Site, wait_until


def on_nodes(count: int) -> dict[str, Any]:
    """The environment that plays so many nodes on this host; the lease bears a busy machine."""
    return {"BALSAM_LOCAL__VIRTUAL_NODES": str(count), "BALSAM_LAUNCHER__LEASE_SECONDS": "15"}


def node_of(site: Site, job: UUID) -> str:
    """The node of a job's last start, as its history has it."""
    found = re.match(r"on (\w+)", site.message(job, "RUNNING"))
    assert found, site.story(job)
    return found[1]


def rank_processes(launcher: Launcher, count: int) -> list[psutil.Process]:
    """The processes of the ranks, in their order."""
    wait_until(lambda: len(ranks_now(launcher)) == count, explain=lambda: launcher.text)
    found = ranks_now(launcher)
    return [found[number] for number in range(count)]


def ranks_now(launcher: Launcher) -> dict[int, psutil.Process]:
    """The ranks that run at this moment, by number."""
    found: dict[int, psutil.Process] = {}
    for one in psutil.Process(launcher.pid).children(recursive=True):
        try:
            number = one.environ().get("PMI_RANK")
            if number and "balsam_core.launcher.ranks" in one.cmdline():
                found[int(number)] = one
        except psutil.Error:
            continue
    return found


def worker_of(rank: psutil.Process) -> psutil.Process:
    """The worker process of a rank."""
    return rank.children()[0]
