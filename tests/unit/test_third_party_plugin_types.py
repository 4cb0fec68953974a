"""What mypy --strict says of a plugin that a third party wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests" / "data" / "third_party_plugin" / "balsam_toy.py"


def test_a_third_party_plugin_passes_mypy_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _mypy(PLUGIN, monkeypatch) == []


def test_a_method_that_breaks_its_contract_is_found_by_mypy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "balsam_broken.py"
    broken.write_text(PLUGIN.read_text().replace("result: CommandResult) -> str:", "result: CommandResult) -> int:"))

    errors = _mypy(broken, monkeypatch)

    assert any('incompatible with return type "str" in supertype' in error for error in errors)


def _mypy(file: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    # mypy cannot follow the import hook of an editable installation.
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    cache = str(ROOT / ".mypy_cache")
    stdout, stderr, _ = api.run(
        ["--strict", "--config-file", "", "--cache-dir", cache, "--no-error-summary", str(file)]
    )
    assert stderr == ""
    return stdout.splitlines()
