"""The contracts as values, and what importing them costs."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import balsam_core.plugins
from balsam_core.plugins import Launch, MpiLauncher, Node, NodeSource, Placement, Scheduler
from tests.helpers import make_request

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("contract", [Scheduler, MpiLauncher, NodeSource])
def test_a_contract_without_its_methods_cannot_be_made(contract: type) -> None:
    with pytest.raises(TypeError, match="abstract method"):
        type("Half", (contract,), {"name": "half"})()


def test_the_ranks_of_a_launch_are_those_of_all_nodes() -> None:
    placements = tuple(Placement(Node(name, name)) for name in ("n1", "n2", "n3"))
    assert Launch(("a.out",), placements, ranks_per_node=4).ranks == 12


@pytest.mark.parametrize("field", ["tag", "queue", "project"])
@pytest.mark.parametrize("word", ["two words", "-q", "a\nb"])
def test_a_request_is_made_of_single_words_that_are_no_options(field: str, word: str) -> None:
    with pytest.raises(ValidationError, match="should be one word"):
        make_request(**{field: word})


@pytest.mark.parametrize("fields", [{"nodes": 0}, {"time_limit_minutes": 0}, {"job_mode": "both"}, {"nodez": 1}])
def test_a_request_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make_request(**fields)


def test_every_public_name_of_the_plugin_package_is_there() -> None:
    missing = [name for name in balsam_core.plugins.__all__ if not hasattr(balsam_core.plugins, name)]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = balsam_core.plugins.Nonsense


def test_the_contracts_import_nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in _WATCHED]:
        monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    __import__("balsam_core.plugins.contracts")
    __import__("balsam_core.site")
    assert {name.partition(".")[0] for name in set(sys.modules) - before} <= {"balsam_core"}


_WATCHED = {"balsam_core", "pydantic", "pydantic_settings", "pluggy", "sqlalchemy", "psutil"}


def test_the_package_list_of_setup_cfg_equals_the_tree() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    folders = dict(line.split(" = ") for line in setup["options"]["package_dir"].strip().splitlines())
    tree = _packages(ROOT / "balsam_core") | _packages(ROOT / "balsam")
    for plugin in ROOT.glob("plugins/*/balsam_*/__init__.py"):
        tree |= _packages(plugin.parent)
        assert folders[plugin.parent.name] == str(plugin.parent.relative_to(ROOT))
    assert listed - {"balsam_templates"} == tree


@pytest.mark.parametrize("folder", sorted(ROOT.glob("plugins/*/setup.cfg")), ids=lambda file: file.parent.name)
def test_a_plugin_built_alone_has_the_same_entry_point(folder: Path) -> None:
    root, alone = configparser.ConfigParser(), configparser.ConfigParser()
    root.read(ROOT / "setup.cfg")
    alone.read(folder)
    entry = alone["options.entry_points"]["balsam.plugins"].strip()
    assert entry in root["options.entry_points"]["balsam.plugins"].strip().splitlines()
    assert "balsam-core" in alone["options"]["install_requires"].split()


def _packages(top: Path) -> set[str]:
    return {".".join(file.parent.relative_to(top.parent).parts) for file in top.rglob("__init__.py")}
