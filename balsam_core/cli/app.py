"""balsam app: defines an application."""

from __future__ import annotations

import click

from balsam_core.cli.options import Words, command


@command("app")
@click.option("--name", required=True, metavar="NAME", help="as jobs call it")
@click.option("--executable", required=True, metavar="COMMAND", help="the program or MODULE:FUNCTION, and arguments")
@click.option("--preprocess", default="", metavar="COMMAND", help="runs before each job")
@click.option("--postprocess", default="", metavar="COMMAND", help="runs after each job")
@click.option("--envscript", default="", metavar="FILE", help="sourced before the program starts")
@click.option("--description", default="", cls=Words, help="for people")
def app(name: str, executable: str, preprocess: str, postprocess: str, envscript: str, description: str) -> None:
    """Define an application; a .py file, or a function MODULE:NAME, runs with the Python of this command."""
    from balsam_core.cli.apps import app_spec
    from balsam_core.cli.context import current_folder, opened
    from balsam_core.cli.output import print_lines, warn
    from balsam_core.programs import missing_programs, wrong_function

    with opened() as here:
        spec = app_spec(
            {
                "name": name,
                "executable": executable,
                "preprocess": preprocess,
                "postprocess": postprocess,
                "envscript": envscript,
                "description": description,
            },
            current_folder(),
        )
        here.store.add_app(spec)
    for field, wrong in missing_programs(spec):
        warn(f"{field}: {wrong}; until then jobs of {name!r} fail")
    if wrong := wrong_function(spec, here.site.path):
        warn(f"executable: {wrong}; until then jobs of {name!r} fail")
    print_lines([f"Added app {spec.name}: {spec.executable}"])
