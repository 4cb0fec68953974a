"""Runs the service: rounds under a lease, until it is told to stop."""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable, Mapping
from functools import partial
from uuid import uuid4

from balsam_core.errors import BalsamError, DatabaseError, LaunchError
from balsam_core.launcher.signals import StopSignals
from balsam_core.service.rounds import Rounds, describe
from balsam_core.state.batch_store import SERVICE
from balsam_core.state.hosts import boot_id, hostname, machine_id, process_clock
from balsam_core.state.leases import LauncherInfo
from balsam_core.state.store import Store

_log = logging.getLogger(__name__)


def serve(rounds: Rounds, store: Store, environ: Mapping[str, str]) -> str:
    """Work until a signal comes; why it ended. Raises LaunchError when another service lives, or the lease was lost."""
    lease = rounds.settings.launcher.lease_seconds
    info = _info(environ, rounds.settings.service.wf_filter, lease)
    store.batches.begin_service(info)
    why = "it failed"
    try:
        with StopSignals() as signals:
            why = _rounds(rounds, store, info, signals, lease / 3)
    finally:
        store.end_launcher(info.launcher_id, why)
    return why


def _rounds(rounds: Rounds, store: Store, info: LauncherInfo, signals: StopSignals, beat_seconds: float) -> str:
    due, said = 0.0, [""]
    while True:
        now = time.monotonic()
        if now >= due:
            due = now + rounds.settings.service.interval_seconds
            said = _round(rounds, said, partial(_may_go_on, store, info, signals))
        _keep_lease(store, info)
        pause = max(min(due - time.monotonic(), beat_seconds), 0.0)
        if select.select([signals], [], [], pause)[0]:
            for reason in signals.reasons():
                return reason


def _round(rounds: Rounds, said: list[str], may_go_on: Callable[[], bool]) -> list[str]:
    """One round; what it has said, which is not said again until it changes."""
    try:
        outlook = rounds.look()
        lines = describe(rounds.settings.queues, outlook)
        if lines != said:
            for line in lines:
                _log.info("%s", line)
        rounds.act(outlook, may_go_on)
    except DatabaseError as error:
        # It comes back, or the lease is lost.
        lines = [str(error)]
        _log.warning("%s", error)
    except BalsamError as error:
        lines = [str(error)]
        if lines != said:
            _log.error("%s", error)
    return lines


def _may_go_on(store: Store, info: LauncherInfo, signals: StopSignals) -> bool:
    """Whether no signal has come; keeps the lease."""
    _keep_lease(store, info)
    return not select.select([signals], [], [], 0)[0]


def _keep_lease(store: Store, info: LauncherInfo) -> None:
    try:
        lives = store.heartbeat(info.launcher_id)
    except DatabaseError as error:
        _log.warning("%s", error)
        return
    if not lives:
        raise LaunchError("the lease of this service was declared over; another one may be at work")


def _info(environ: Mapping[str, str], wf_filter: str, lease_seconds: float) -> LauncherInfo:
    return LauncherInfo(
        launcher_id=uuid4(),
        machine_id=machine_id(environ),
        boot_id=boot_id(),
        host=hostname(),
        pid=os.getpid(),
        process_clock=process_clock(os.getpid()) or 0.0,
        job_mode=SERVICE,
        wf_filter=wf_filter,
        nodes=0,
        lease_seconds=lease_seconds,
    )
