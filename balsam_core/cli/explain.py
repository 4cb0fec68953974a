"""balsam explain: says why a job, a batch job or a launcher is where it is."""

from __future__ import annotations

import click

from balsam_core.cli.options import command, json_option


@command("explain")
@click.argument("words", metavar="JOB | launch ID | launcher ID", nargs=-1, required=True)
@json_option
def explain(words: tuple[str, ...], as_json: bool) -> None:
    """Say in plain words why a job is where it is, and what would make it run.

    `explain launch ID` does so for a batch job, by its number or the scheduler's id; `explain launcher ID` for a
    launcher.
    """
    from balsam_core.cli.explaining import EXPLAINED, explained, lines_of
    from balsam_core.cli.output import print_json, print_lines

    about, name = words if len(words) == 2 else ("job", words[0])
    if len(words) > 2 or about not in EXPLAINED or (about == "job" and name in EXPLAINED):
        raise click.UsageError("give a job's id, or `launch ID`, or `launcher ID`")
    listing = explained(about, name)
    if as_json:
        print_json(listing)
    else:
        print_lines(lines_of(listing))
