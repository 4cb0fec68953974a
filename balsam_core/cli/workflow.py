"""Which workflow a filter of launchers means, told where it is not the one that was typed."""

from __future__ import annotations

from balsam_core.cli.output import warn
from balsam_core.errors import listed
from balsam_core.launcher.hints import known_workflow
from balsam_core.state.filters import JobFilter
from balsam_core.state.store import Store


def workflow_meant(store: Store, asked: str) -> str:
    """The pattern of `known_workflow`; where that is not what was asked for, a warning names what is taken."""
    pattern = known_workflow(store, asked)
    if pattern != asked:
        taken = sorted(store.count_by_workflow(JobFilter(workflow=pattern)))
        warn(f"no job has the workflow {asked!r}; taken are those whose name holds it: {listed(taken)}")
    return pattern
