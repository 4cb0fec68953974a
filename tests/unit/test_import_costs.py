"""What is imported where: the command line answers quickly, the worker stays small, every package is typed.

Each question needs an interpreter of its own, because this one has imported everything.
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "sqlalchemy",
    "alembic",
    "pydantic",
    "pydantic_settings",
    "pluggy",
    "jinja2",
    "rich",
    "psutil",
    "importlib.metadata",
}
_REPORT = "\nimport json, sys; sys.__stdout__.write('\\n' + json.dumps(sorted(sys.modules)))"


def modules_after(code: str) -> set[str]:
    """The modules that an interpreter has loaded when it has run `code`, without those that it starts with."""
    before = _loaded("")
    return _loaded(code) - before


def _loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code + _REPORT], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["job", "--help"], ["launcher", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    allowed = {"importlib.metadata"} if words == ["--version"] else set()
    loaded = modules_after(f"from balsam_core.cli import main\nassert main({words!r}) == 0")
    assert loaded & (HEAVY - allowed) == set()
    assert not any(name.startswith("balsam_local") for name in loaded), "plugins are not loaded for help"


def test_the_worker_imports_the_standard_library_and_its_own_modules_only() -> None:
    loaded = modules_after("import balsam_core.launcher.worker")
    strangers = {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names}
    own = {name for name in strangers if name.startswith("balsam_core.launcher.")}
    assert strangers - own == {"balsam_core", "balsam_core.launcher"}
    assert "dataclasses" not in loaded, "it takes 8 ms, and the worker needs none of it"


def test_the_queue_of_the_plugin_local_loads_no_models() -> None:
    loaded = modules_after("import balsam_local.queue.__main__, balsam_local.queue.runner")
    assert loaded & HEAVY <= {"pluggy", "importlib.metadata"}


def test_a_plugin_author_imports_no_database() -> None:
    loaded = modules_after("import balsam_core.plugins")
    assert loaded & {"sqlalchemy", "alembic", "click", "rich", "pydantic", "pydantic_settings"} == set()


def test_the_pytest_plugin_loads_with_every_run_of_pytest_and_brings_nothing_along() -> None:
    loaded = modules_after("import pytest\nimport balsam_core.testing.fixtures")
    own = {name for name in loaded if name.startswith("balsam")}
    assert own == {"balsam_core", "balsam_core.testing", "balsam_core.testing.fixtures"}
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    # Named as the module is, so that pytest does not load it again for who names it in a conftest.
    assert config["options.entry_points"]["pytest11"].split() == ["balsam_core.testing.fixtures", "=", sorted(own)[-1]]


def test_the_commands_of_a_fake_scheduler_need_the_standard_library_only() -> None:
    modules = ("command", "runner", "pbs", "cobalt")
    loaded = modules_after("\n".join(f"import balsam_core.testing.fake_batch.{name}" for name in modules))
    strangers = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert strangers == {"balsam_core"}
    assert not any(name.startswith("balsam_core.") and "testing" not in name for name in loaded)


def test_every_package_is_typed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = {name.partition(".")[0] for name in config["options"]["packages"].split()} - {"balsam_templates"}
    places = dict(line.split(" = ") for line in config["options"]["package_dir"].strip().splitlines())
    untyped = [name for name in packages if not (ROOT / places.get(name, name) / "py.typed").is_file()]
    unshipped = [name for name in packages if "py.typed" not in config["options.package_data"].get(name, "")]
    assert (untyped, unshipped) == ([], [])
