"""What the documents name exists, and what exists is documented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from balsam_cobalt.settings import CobaltSettings
from balsam_core.cli import balsam
from balsam_core.settings import QueueSettings, Settings
from balsam_local.settings import LocalSettings
from balsam_pbs.settings import PbsSettings
from balsam_slurm.settings import SlurmSettings

ROOT = Path(__file__).parents[2]
TOP = ("balsam", "balsam_core", "plugins", "templates", "tests", "docs", "examples", "benchmarks", ".ci")
PACKAGES = ("balsam_core", "balsam", "plugins", "templates")
DOCUMENTS = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "plugins").glob("*/README.md")])

# A path from the top of the repository: `tests/unit/test_docs.py`, `balsam_core/state/`, `docs/settings.md`.
_PATH = re.compile(rf"(?<![\w./~-])(?:{'|'.join(map(re.escape, TOP))})/[\w./*-]*[\w/*]")
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(?:#[\w-]*)?\)")
_SECTION = re.compile(r"^## \[+([\w.]+)\]+$", re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]*?) \|", re.MULTILINE)


def names(documents: list[Path]) -> list[str]:
    """The documents as the test's ids."""
    return [str(document.relative_to(ROOT)) for document in documents]


def exists(path: str) -> bool:
    """Whether the repository has the path; `*` stands for anything."""
    return any(ROOT.glob(path.rstrip("/"))) if "*" in path else (ROOT / path).exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_paths_and_links_of_a_document_exist(document: Path) -> None:
    text = document.read_text()
    assert [path for path in _PATH.findall(text) if not exists(path)] == []
    assert [link for link in _LINK.findall(text) if not (document.parent / link).exists()] == []


def test_paths_in_the_docstrings_of_modules_exist() -> None:
    missing = {
        str(module.relative_to(ROOT)): path
        for module in _modules(*PACKAGES, "tests", "examples", "benchmarks")
        for path in _PATH.findall(_docstring(module))
        if not exists(path)
    }
    assert missing == {}


def test_every_module_says_what_it_knows() -> None:
    assert [str(module.relative_to(ROOT)) for module in _modules(*PACKAGES) if not _docstring(module)] == []


def test_every_package_has_its_place_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = [*(ROOT / "balsam_core").glob("*/__init__.py"), *(ROOT / "plugins").glob("*/balsam_*/__init__.py")]
    names_of_them = {"/".join(path.relative_to(ROOT).parts[:2]) for path in packages}
    assert [name for name in sorted(names_of_them) if f"`{name}/" not in text] == []


def test_every_benchmark_is_in_the_page_of_performance() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    scripts = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py"))
    assert [name for name in scripts if f"benchmarks/{name}" not in text] == []


def test_every_command_is_documented() -> None:
    text = "".join((ROOT / "docs" / name).read_text() for name in ("command-line.md", "completion.md"))
    commands = [name for section in balsam._sections.values() for name in section]
    assert [name for name in commands if not re.search(rf"`(balsam )?{name}\b", text)] == []


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    parts = _SECTION.split(text)[1:]
    documented = {name: dict(_ROW.findall(body)) for name, body in zip(parts[::2], parts[1::2], strict=True)}
    assert documented == dict(_sections())


def test_messages_in_troubleshooting_are_messages_of_the_program() -> None:
    table = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## Messages")[2]
    messages = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    # A message may go on in the next line of the source.
    source = "".join(re.sub(r'"\s+f?"', "", module.read_text()) for module in _modules("balsam_core", "plugins"))
    assert messages
    assert [message for message in messages if message not in source] == []


def test_every_setting_of_balsam_05_is_told_of_to_those_who_move() -> None:
    table = (ROOT / "docs" / "moving-from-balsam-0.5.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    # The facade's module cannot be imported outside of a site.
    names_of_facade = re.findall(r'^    "([A-Z_]+)":', (ROOT / "balsam/core/settings.py").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(names_of_facade)


def _sections() -> Iterator[tuple[str, dict[str, str]]]:
    """Each section with its keys, and their defaults as TOML shows them."""
    for name, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield name, _defaults(model)
    yield "queues", _defaults(QueueSettings)
    yield "local", _defaults(LocalSettings)
    yield "cobalt", _defaults(CobaltSettings)
    yield "pbs", _defaults(PbsSettings)
    yield "slurm", _defaults(SlurmSettings)


def _defaults(model: type[BaseModel]) -> dict[str, str]:
    return {name: _as_toml(field.default) for name, field in model.model_fields.items()}


def _as_toml(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def _modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


def _docstring(module: Path) -> str:
    return ast.get_docstring(ast.parse(module.read_text())) or ""
