"""balsam completion: prints the script that completes commands in a shell."""

from __future__ import annotations

import click

from balsam_core.cli.options import command


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell; docs/completion.md says where to put it."""
    from click.shell_completion import get_completion_class

    from balsam_core.cli import balsam
    from balsam_core.cli.output import print_lines

    script = get_completion_class(shell)
    assert script is not None, shell
    print_lines([script(balsam, {}, "balsam", "_BALSAM_COMPLETE").source()])
