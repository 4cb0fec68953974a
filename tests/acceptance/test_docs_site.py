"""The documents as a site: all are there, nothing is missing in them, and nothing is loaded from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from balsam_core.cli import balsam

pytestmark = pytest.mark.docs
ROOT = Path(__file__).parents[2]
# What a browser loads by itself; a link that a reader may follow is none.
_LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"((?:https?:)?//[^\"]*)|<link\b[^>]*\bhref=\"((?:https?:)?//[^\"]*)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built so that each warning is an error."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return folder


def test_no_document_is_left_out_of_the_navigation() -> None:
    from mkdocs.config import load_config

    from docs import hooks

    named = re.findall(r"'([\w.-]+\.md)'", str(load_config(str(ROOT / "mkdocs.yml")).nav))
    made = {*hooks.FOREIGN, "commands.md", "settings-reference.md"}
    assert sorted(named) == sorted({*made, *(path.name for path in (ROOT / "docs").glob("*.md"))})
    assert {path.name for path in (ROOT / "docs").glob("*.md")}.isdisjoint(made)


def test_every_command_and_setting_is_in_its_reference(site: Path) -> None:
    commands = (site / "commands.html").read_text()
    names = [name for section in balsam._sections.values() for name in section]
    assert [name for name in names if f"Usage: balsam {name} " not in commands] == []
    assert "Usage: balsam db upgrade [OPTIONS]" in commands
    settings = (site / "settings-reference.html").read_text()
    assert re.search(r"<td><code>lease_seconds</code></td>\s*<td>number, &gt; 0</td>\s*<td><code>90.0</code>", settings)
    assert re.search(r"<td><code>virtual_nodes</code></td>\s*<td>integer, &gt;= 0</td>", settings)


def test_links_between_documents_lead_to_pages_of_the_site(site: Path) -> None:
    home = (site / "index.html").read_text()
    assert 'href="tutorial.html"' in home
    assert 'href="plugin-pbs.html"' in home
    assert 'href="contributing.html"' in home
    assert "docs/tutorial.md</a>" in home


def test_a_reader_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.glob("*.html"))
    assert {page.name: found for page in pages if (found := _LOADED.findall(page.read_text()))} == {}
    styles = [
        sheet
        for sheet in site.rglob("*.css")
        if re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheet.read_text())
    ]
    assert styles == []


def test_sources_of_the_site_are_no_part_of_it(site: Path) -> None:
    assert list(site.rglob("*.py*")) == []


def test_the_folder_of_the_site_is_ignored_by_git_and_removed_by_make_clean() -> None:
    assert "/site/" in (ROOT / ".gitignore").read_text().splitlines()
    assert re.search(r"^clean:\n\trm -rf .*\bsite\b", (ROOT / "Makefile").read_text(), re.MULTILINE)
