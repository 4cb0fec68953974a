"""The options that `balsam job` and `balsam mkchild` share, as the fields of a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from balsam_core.cli.options import Words, yes_option
from balsam_core.homes import expanded

F = TypeVar("F", bound=Callable[..., object])


def job_options(function: F) -> F:
    """All options that describe a job; each becomes the parameter named as the job's field, None if not given."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return yes_option(function)


def given_fields(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The fields that were given on the command line; paths are made absolute from `folder`. Raises JobSpecError."""
    fields = {
        name: value for name, value in options.items() if value is not None and value != () and value is not False
    }
    if "environ_vars" in fields:
        fields["environ_vars"] = dict(map(_variable, fields["environ_vars"]))
    if "tags" in fields:
        fields["tags"] = list(fields["tags"])
    if "data" in fields:
        fields["data"] = parse_data(fields["data"])
    if "auto_timeout_retry" in fields:
        fields["auto_timeout_retry"] = False
    return from_folder(fields, folder)


def from_folder(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The fields with the working directory that was chosen, if any, made absolute from `folder`."""
    chosen = fields.get("user_workdir")
    return {**fields, "user_workdir": str(folder / expanded(chosen))} if chosen and isinstance(chosen, str) else fields


def parse_data(text: str) -> Any:
    """The JSON of `--data`, of a column `data`; raises JobSpecError."""
    import json

    from balsam_core.errors import JobSpecError

    try:
        return json.loads(text)
    except ValueError as error:
        raise JobSpecError(f"data cannot be {text!r}: it is not JSON ({error})") from None


def split_ids(value: str) -> list[str]:
    """Ids joined by blanks, commas or semicolons."""
    return value.replace(",", " ").replace(";", " ").split()


def _variable(text: str) -> tuple[str, str]:
    # The text is one variable: its value may hold colons, as paths do.
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--env {text!r} is not of the form NAME=value")
    return name, value


def _flag(*names: str, help: str) -> Callable[[F], F]:
    return click.option(*names, is_flag=True, default=None, help=help)


def _count(*names: str, help: str) -> Callable[[F], F]:
    return click.option(*names, type=int, metavar="N", help=help)


_OPTIONS: Sequence[Callable[[Any], Any]] = (
    click.option("--name", metavar="NAME", help="names the job and its folder"),
    click.option("--workflow", metavar="WF", help="the workflow it belongs to"),
    click.option("--application", metavar="APP", help="what it runs, as `balsam app` defined it"),
    click.option("--description", cls=Words, help="for people"),
    click.option("--args", cls=Words, help="arguments for the application"),
    click.option("--parents", cls=Words, metavar="IDS..", help="jobs that must finish first; parts of ids will do"),
    click.option("--input-files", cls=Words, metavar="PATTERNS..", help="files of the parents to link in (default: *)"),
    click.option("--url-in", "stage_in_url", metavar="URL", help="files to copy in before the job runs"),
    click.option("--url-out", "stage_out_url", metavar="URL", help="where files go when it has finished"),
    click.option("--stage-out-files", cls=Words, metavar="PATTERNS..", help="the files that go to --url-out"),
    _count("--wall-time-minutes", "--wall-minutes", "wall_time_minutes", help="how long it is expected to run"),
    _count("--num-nodes", help="nodes (default: 1)"),
    _count("--coschedule-num-nodes", help="nodes to run beside it"),
    _count("--ranks-per-node", help="MPI ranks per node (default: 1)"),
    _count("--threads-per-rank", help="threads per rank (default: 1)"),
    _count("--threads-per-core", help="hardware threads used per core (default: 1)"),
    click.option("--cpu-affinity", metavar="none|depth", help="how ranks are bound to cores"),
    _count("--node-packing-count", help="how many such jobs share a node (default: 1)"),
    _count("--gpus-per-rank", help="GPUs per rank (default: the node's, shared by the packing)"),
    _count("--memory-mb", help="memory that one node must have free for it"),
    click.option("--timeout-seconds", type=float, metavar="S", help="stop an attempt that runs longer"),
    _count("--max-retries", help="automatic reruns after a timeout or a retry code"),
    click.option("--env", "environ_vars", metavar="A=1", multiple=True, help="a variable of its own; repeatable"),
    click.option("--mpi-flags", cls=Words, help="further flags for the MPI launcher"),
    click.option("--user-workdir", metavar="PATH", help="run here instead of in a folder of the site"),
    _flag(
        "--post_handle_error", "--post-handle-error", "post_error_handler", help="the postprocess script handles errors"
    ),
    _flag(
        "--post_handle_timeout",
        "--post-handle-timeout",
        "post_timeout_handler",
        help="the postprocess script handles timeouts",
    ),
    _flag(
        "--disable_auto_timeout_retry",
        "--disable-auto-timeout-retry",
        "auto_timeout_retry",
        help="do not run it again after a timeout",
    ),
    click.option("--priority", type=int, metavar="N", help="higher starts first (default: 0)"),
    _flag("--hold", help="do not start it before `balsam release`"),
    click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="to find it by; repeatable"),
    click.option("--data", metavar="JSON", help="an object that the job carries"),
)
