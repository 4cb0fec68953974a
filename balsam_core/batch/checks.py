"""What is looked at before a batch job is submitted: the limits of its queue, the reach of the database, the work."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from balsam_core.counting import counted
from balsam_core.errors import ConfigError, JobSpecError
from balsam_core.launcher.hints import UNFINISHED
from balsam_core.opening import PRIVATE_CLUSTER
from balsam_core.plugins.contracts import Scheduler
from balsam_core.server.cluster import is_loopback
from balsam_core.settings import QueueSettings, Settings
from balsam_core.state.filters import JobFilter
from balsam_core.state.store import Store


def check_limits(name: str | None, nodes: int, minutes: int, queues: Sequence[QueueSettings]) -> None:
    """Raise JobSpecError when the settings know the queue, and no row of theirs allows so many nodes and minutes."""
    known = [queue for queue in queues if queue.name == name]
    if not known or any(_allows(queue, nodes, minutes) for queue in known):
        return
    limits = ", or ".join(map(_limits, known))
    raise JobSpecError(
        f"queue {name!r} does not take {counted(nodes, 'node')} for {minutes} minutes: it takes {limits}"
    )


def check_queued(name: str | None, queues: Sequence[QueueSettings], open_now: int) -> None:
    """Raise JobSpecError when so many open batch jobs are all that the queue takes."""
    for queue in queues:
        if queue.name == name and queue.max_queued is not None and open_now >= queue.max_queued:
            raise JobSpecError(
                f"queue {queue.name!r} takes {queue.max_queued} batch jobs at a time, and {open_now} are open; wait, "
                "or end one with `balsam cancel-launch`"
            )


def check_reach(settings: Settings, scheduler: Scheduler) -> None:
    """Raise ConfigError when the launcher would run on another host, which the site's database does not serve."""
    same_host = scheduler.runs_here if settings.scheduler.same_host is None else settings.scheduler.same_host
    if same_host:
        return
    database = settings.site.database
    where = f"batch jobs of {scheduler.name!r} run on other hosts, and this site's"
    if not database or database.startswith("sqlite"):
        raise ConfigError(
            f"{where} SQLite database serves one host only; make a site with `balsam init PATH --database postgresql`, "
            "or move this one with `balsam db copy`; set [scheduler] same_host = true if batch jobs do run here"
        )
    listen = settings.site.listen if database == PRIVATE_CLUSTER else urlsplit(database).hostname or ""
    if is_loopback(listen):
        raise ConfigError(
            f"{where} PostgreSQL server is at {listen}, which they do not reach; set [site] listen to this host's name "
            "and start the server anew (`balsam server --stop`, then `--connect`), or name it so in [site] database"
        )


def count_work(store: Store, workflow: str) -> int:
    """How many unfinished jobs a launcher may take."""
    return sum(store.count_by_state(JobFilter(workflow=workflow, states=UNFINISHED)).values())


def _allows(queue: QueueSettings, nodes: int, minutes: int) -> bool:
    few_enough = queue.max_nodes is None or nodes <= queue.max_nodes
    short_enough = queue.max_minutes is None or minutes <= queue.max_minutes
    return queue.min_nodes <= nodes and few_enough and short_enough


def _limits(queue: QueueSettings) -> str:
    most = "any number of" if queue.max_nodes is None else f"{queue.min_nodes} to {queue.max_nodes}"
    if queue.max_nodes is None and queue.min_nodes > 1:
        most = f"at least {queue.min_nodes}"
    minutes = "any time" if queue.max_minutes is None else f"up to {queue.max_minutes} minutes"
    return f"{most} nodes for {minutes}"
