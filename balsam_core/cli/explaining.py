"""Collects what bears on one thing, and has it explained."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from balsam_core.cli.context import Opened, opened
from balsam_core.explain.collect import Collector
from balsam_core.explain.facts import Explanation, JobFacts, LaunchFacts, OneLauncher
from balsam_core.explain.job import explain_job
from balsam_core.explain.launch import explain_launch
from balsam_core.explain.launcher import explain_launcher
from balsam_core.explain.plain import plain
from balsam_core.models import listings
from balsam_core.models.batch import OPEN
from balsam_core.state.hosts import machine_id
from balsam_core.state.machine import RUNNABLE

_Facts = JobFacts | LaunchFacts | OneLauncher


def explained(about: str, name: str) -> listings.ExplanationListing:
    """The explanation of a job, a launch or a launcher. Raises JobNotFound, JobSpecError."""
    with opened() as here:
        facts, said = EXPLAINED[about](here, name)
    return listings.ExplanationListing(
        about=about,
        sentences=list(said.sentences),
        excerpts=[listings.Excerpt(what=one.what, file=one.file, lines=list(one.lines)) for one in said.excerpts],
        advice=[listings.Advice(text=one.text, command=one.command) for one in said.advice],
        facts=plain(facts),
    )


def lines_of(listing: listings.ExplanationListing) -> list[str]:
    """For people: the sentences, then the ends of files, then what to do."""
    lines = list(listing.sentences)
    for excerpt in listing.excerpts:
        title = f"{excerpt.what[:1].upper()}{excerpt.what[1:]}"
        lines += ["", f"{title}, {excerpt.file}:" if excerpt.file else f"{title}:"]
        lines += [f"    {line}" for line in excerpt.lines]
    lines += [""] if listing.advice else []
    for advice in listing.advice:
        lines += [f"{advice.text}:", f"    {advice.command}"] if advice.command else [f"{advice.text}."]
    return lines


def _job(here: Opened, name: str) -> tuple[_Facts, Explanation]:
    # What the schedulers say matters only to a job that waits for a launcher.
    waits = here.store.find_job(name).state in RUNNABLE
    if waits and here.store.batches.select(machine_id=machine_id(os.environ), states=OPEN):
        _ask_schedulers(here)
    facts = _collector(here).job(name)
    return facts, explain_job(facts)


def _launch(here: Opened, name: str) -> tuple[_Facts, Explanation]:
    facts = _collector(here).launch(name, _ask_schedulers(here))
    return facts, explain_launch(facts)


def _launcher(here: Opened, name: str) -> tuple[_Facts, Explanation]:
    facts = _collector(here).launcher(name)
    return facts, explain_launcher(facts)


def _ask_schedulers(here: Opened) -> dict[str, str]:
    """Why schedulers gave no answer."""
    from balsam_core.cli.queues import poller

    return poller(here).refresh()


def _collector(here: Opened) -> Collector:
    return Collector(here.site, here.settings, here.store, machine_id(os.environ), time.time())


EXPLAINED: Mapping[str, Callable[[Opened, str], tuple[_Facts, Explanation]]] = {
    "job": _job,
    "launch": _launch,
    "launcher": _launcher,
}
