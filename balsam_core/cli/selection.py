"""Which jobs a command is about: the filter options that `ls`, `modify`, `rm`, `killjob`, `hold` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from balsam_core.state.filters import JobFilter
    from balsam_core.state.store import Store

F = TypeVar("F", bound=Callable[..., object])

NOTHING_FOUND = "No jobs found matching query"


@dataclass(frozen=True)
class Chosen:
    """The filter options as they were typed."""

    name: str = ""
    ids: Sequence[str] = ()
    workflow: str = ""
    states: Sequence[str] = ()
    tags: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no filter was given."""
        return self == Chosen()

    @property
    def only_ids(self) -> bool:
        """Whether jobs are named by their ids alone: nobody needs to be asked then."""
        return bool(self.ids) and self == Chosen(ids=self.ids)

    def filter(self) -> JobFilter:
        """The filter of a listing; a part of an id may fit several jobs. Raises InvalidState, JobSpecError."""
        return self._filter(self.ids)

    def exact_filter(self, store: Store) -> JobFilter:
        """The filter of a change: each part of an id must mean one job. Raises JobNotFound, InvalidState."""
        return self._filter([str(store.find_job(part).job_id) for part in self.ids])

    def _filter(self, ids: Sequence[str]) -> JobFilter:
        from balsam_core.models.job import parse_tags
        from balsam_core.state.filters import JobFilter
        from balsam_core.state.machine import parse_state

        states = [parse_state(word) for given in self.states for word in given.replace(",", " ").split()]
        tags: Any = parse_tags(list(self.tags))
        return JobFilter(self.name, tuple(ids), self.workflow, tuple(states), tags)


def filter_options(function: F) -> F:
    """`--name --id --wf --state --tag`; `selection(**options)` makes a Chosen of them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def selection(
    name: str | None,
    ids: Sequence[str],
    workflow: str | None,
    states: Sequence[str],
    tags: Sequence[str],
    more_ids: Sequence[str] = (),
) -> Chosen:
    """The Chosen of a command's filter options; an option with an empty value is a usage error."""
    given = {"--name": name, "--wf": workflow}
    empty = [option for option, value in given.items() if value == ""]
    empty += ["--id" for part in (*ids, *more_ids) if not part.strip()]
    empty += ["--state" for words in states if not words.replace(",", " ").strip()]
    empty += ["--tag" for tag in tags if not tag.partition("=")[0].strip()]
    if empty:
        raise click.UsageError(f"{empty[0]} is empty; leave it out to match all jobs")
    return Chosen(name or "", (*ids, *more_ids), workflow or "", tuple(states), tuple(tags))


_OPTIONS = (
    click.option("--name", metavar="TEXT", help="jobs whose name holds this"),
    click.option("--id", "ids", metavar="ID", multiple=True, help="the beginning of a job's id; repeatable"),
    click.option("--wf", "--wf-filter", "workflow", metavar="WF", help="jobs of this workflow; * stands for anything"),
    click.option("--state", "states", metavar="STATE", multiple=True, help="jobs in this state; repeatable"),
    click.option("--tag", "tags", metavar="KEY[=VALUE]", multiple=True, help="jobs with this tag; repeatable"),
)
