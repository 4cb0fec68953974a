"""The tutorial of plugin authors: its code runs, prints what it shows, and keeps the contracts."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

from balsam_core.testing.running import check_mpi_launcher, check_node_source

DOCUMENT = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """What the tutorial's code defines, after its examples printed what they show."""
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    for block in _BLOCK.findall(DOCUMENT.read_text()):
        if not block.startswith(">>>"):
            exec(block, namespace)
            continue
        example = doctest.DocTestParser().get_doctest(block, namespace, "tutorial", str(DOCUMENT), 0)
        assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
        namespace |= example.globs
    return namespace


def test_the_code_runs_and_prints_what_it_shows(written: dict[str, Any]) -> None:
    assert written["Flux"]().status_command(["f2A"], "ada").argv[-1] == "f2A"
    assert [launcher.name for launcher in written["balsam_mpi_launchers"]()] == ["flux-run"]


def test_what_it_writes_keeps_the_contracts(written: dict[str, Any]) -> None:
    findings = [*check_mpi_launcher(written["FluxRun"]()), *check_node_source(written["FluxNodes"]())]
    assert [finding for finding in findings if finding.problem] == []
