"""What the site has beside docs/*.md: pages from elsewhere in the repository, and the two references.

MkDocs calls the functions `on_...`; see https://www.mkdocs.org/user-guide/configuration/#hooks.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File
from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
# Pages of the site, and the files of the repository that they are.
FOREIGN = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    **{f"plugin-{path.parent.name}.md": f"plugins/{path.parent.name}/README.md"
       for path in sorted((ROOT / "plugins").glob("*/README.md"))},
    "example-flux.md": "examples/balsam-plugin-flux/README.md",
    "example-webhook.md": "examples/webhook/README.md",
}  # fmt: skip

_LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[\w-]*)?\)")
_NAMED_FENCE = re.compile(r"^```(\w+) ([\w.-]+)$", re.MULTILINE)
# What the tests do not type; see tests/acceptance/transcript.py.
_ELSEWHERE, _UNTYPED = "```console elsewhere\n", '```console title="not typed by the tests"\n'
_LIMITS = {"gt": ">", "exclusiveMinimum": ">", "ge": ">=", "minimum": ">=", "lt": "<", "le": "<="}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that no file of docs/ holds."""
    pages = {name: (ROOT / path).read_text() for name, path in FOREIGN.items()}
    pages |= {"commands.md": commands_page(), "settings-reference.md": settings_page()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page as the site shows it: links lead to pages of the site, and listings have their names as titles."""
    text = with_links_of_site(markdown, page.file.src_uri)
    return _NAMED_FENCE.sub(r'```\1 title="\2"', text.replace(_ELSEWHERE, _UNTYPED))


def with_links_of_site(markdown: str, page: str) -> str:
    """The text with links between files of the repository as links between pages; others become plain text."""
    folder = posixpath.dirname(FOREIGN.get(page, f"docs/{page}"))
    pages = {path: name for name, path in FOREIGN.items()}

    def link(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        inside = path.removeprefix("docs/") if path.startswith("docs/") else pages.get(path)
        return f"[{match[1]}]({inside}{match[3] or ''})" if inside else match[1]

    return _LINK.sub(link, markdown)


# ---- commands


def commands_page() -> str:
    """Every command with its options, as its `--help` shows them."""
    from balsam_core.cli import balsam

    parts = [
        "# All commands\n",
        "What `balsam COMMAND --help` prints; [command-line.md](command-line.md) is the guide.\n",
    ]
    context = click.Context(balsam, info_name="balsam", **balsam.context_settings)
    for section, names in balsam._sections.items():
        parts.append(f"## {section}\n")
        for name in names:
            command = balsam.get_command(context, name)
            assert command is not None
            parts += _command(command, name, context)
    return "\n".join(parts)


def _command(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
    yield f"### {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            below = command.get_command(context, inner)
            assert below is not None
            yield from _command(below, inner, context)


# ---- settings


def settings_page() -> str:
    """Every section of settings.toml with its keys, types, limits and defaults, as its model has them."""
    head = "Types and limits, from the models that check them; [settings.md](settings.md) says what the keys mean.\n"
    return "\n".join(["# All settings\n", head, *(_section(title, model) for title, model in sections())])


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """The sections of balsam-core and of the plugins that come with it, each with its model."""
    from balsam_core.settings import QueueSettings, Settings

    for name, field in Settings.model_fields.items():
        model = field.annotation
        if name == "queues":
            yield "[[queues]]", QueueSettings
        elif isinstance(model, type) and issubclass(model, BaseModel):
            yield f"[{name}]", model
    for point in sorted(entry_points(group="balsam.plugins"), key=lambda point: point.name):
        if (ROOT / "plugins" / point.name).is_dir() and hasattr(plugin := point.load(), "balsam_settings"):
            yield f"[{point.name}]", plugin.balsam_settings()


def _section(title: str, model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    rows = [
        f"| `{key}` | {_type(facts)} | {_default(key, facts, schema)} |" for key, facts in schema["properties"].items()
    ]
    return "\n".join([f"## {title}\n", "| key | type | default |", "|---|---|---|", *rows, ""])


def _type(facts: Mapping[str, Any]) -> str:
    """The type of a value with its limits, in words of TOML."""
    if "anyOf" in facts:
        return " or ".join(_type(one) for one in facts["anyOf"] if one.get("type") != "null")
    if "enum" in facts:
        return ", ".join(f"`{json.dumps(word)}`" for word in facts["enum"])
    if facts.get("type") == "array":
        return f"list of {_type(facts.get('items', {}))}"
    words = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "object": "table"}
    limits = [f"{sign} {facts[name]}" for name, sign in _LIMITS.items() if name in facts]
    if facts.get("minLength"):
        limits.append("not empty")
    return ", ".join([words.get(facts.get("type", ""), "any"), *limits])


def _default(key: str, facts: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if key in schema.get("required", ()):
        return "required"
    default = facts.get("default")
    return "none" if default is None else f"`{json.dumps(default)}`"
