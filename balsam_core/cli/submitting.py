"""Shows what was submitted, or would be."""

from __future__ import annotations

import shlex

import click

from balsam_core.batch.submission import Rehearsal, Submitted
from balsam_core.cli.output import print_json, print_lines, tell
from balsam_core.counting import counted
from balsam_core.models.listings import SubmitReport


def words(text: str | None) -> tuple[str, ...]:
    """The words of `--sched-flags`; a usage error when a quote is left open."""
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        raise click.UsageError(f"--sched-flags {text!r}: {str(error).lower()}") from error


def show_submitted(done: Submitted, *, as_json: bool) -> None:
    """The scheduler's id, the script, and the work that waits for it."""
    if as_json:
        report = SubmitReport(
            dry_run=False,
            number=done.number,
            scheduler=done.scheduler,
            scheduler_id=done.scheduler_id,
            script=str(done.script),
            command=list(done.command),
            jobs=done.jobs,
        )
        print_json(report)
        return
    print_lines(
        [
            f"Submit OK: {done.scheduler} job {done.scheduler_id}, our number {done.number}",
            f"Script: {done.script}",
            _work(done.jobs),
        ]
    )


def show_rehearsal(plan: Rehearsal, *, as_json: bool) -> None:
    """The script and the command, as they would be; remarks go to stderr."""
    if as_json:
        report = SubmitReport(
            dry_run=True,
            number=None,
            scheduler=plan.scheduler,
            scheduler_id=None,
            script=plan.script,
            command=list(plan.command),
            jobs=plan.jobs,
            checked=plan.checked,
        )
        print_json(report)
        return
    print_lines([plan.script.rstrip("\n"), "", f"# {shlex.join(plan.command)}"])
    tell(_work(plan.jobs))
    if plan.checked is not None:
        tell(f"{plan.scheduler} says: {plan.checked}")
    tell("dry run: nothing was submitted")


def _work(jobs: int) -> str:
    return f"It may run {counted(jobs, 'job')}" if jobs else "No unfinished job waits for it now"
