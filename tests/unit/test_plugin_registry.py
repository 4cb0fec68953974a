"""Loading plugins, and picking what they offer."""

from __future__ import annotations

import doctest
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from balsam_core.errors import ConfigError, LaunchError, PluginError
from balsam_core.plugins import (
    Allocation,
    BatchEvent,
    Command,
    CommandResult,
    Hardware,
    JobEvent,
    Launch,
    Machine,
    MpiLauncher,
    Node,
    NodeSource,
    PluginSettings,
    Probe,
    hookimpl,
    hookspecs,
)
from balsam_core.plugins.discovery import discover
from balsam_core.plugins.registry import HOOKS, PluginInfo, Registry, load_registry
from balsam_core.settings import load_settings

ROOT = Path(__file__).parents[2]
TOY_FOLDER = ROOT / "tests" / "data" / "third_party_plugin"
NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)
JOB_EVENT = JobEvent("5b1f", 1, "RUNNING", "RUN_DONE", NOW)
BATCH_EVENT = BatchEvent("42", "qlaunch1", "toy", "QUEUED", "RUNNING", NOW)


class Run(MpiLauncher):
    def __init__(self, name: str = "run") -> None:
        self.name = name

    def command(self, launch: Launch) -> Command:
        return Command(launch.argv)


class Nodes(NodeSource):
    def __init__(self, name: str, answer: Allocation | None, is_fallback: bool = False) -> None:
        self.name = name
        self.is_fallback = is_fallback
        self._answer = answer

    def discover(self, probe: Probe) -> Allocation | None:
        return self._answer


class NoProbe(Probe):
    environ = {}  # noqa: RUF012 - the contract has it per object, and nobody writes to this one

    def read_text(self, path: str) -> str | None:
        return None

    def run(self, command: Command) -> CommandResult:
        return CommandResult(command.argv, 127)

    def hardware(self) -> Hardware:
        return Hardware("here", (0,))


def make_plugin(monkeypatch: pytest.MonkeyPatch, name: str, hooks: Mapping[str, object]) -> EntryPoint:
    """An entry point whose module has these hooks, each given as a function or as what it returns."""
    module = ModuleType(f"balsam_test_{name}")
    for hook, value in hooks.items():
        setattr(module, hook, hookimpl(value if callable(value) else _returning(value)))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return EntryPoint(name, module.__name__, "balsam.plugins")


def _returning(value: object) -> Callable[[], object]:
    return lambda: value


def load(*entry_points: EntryPoint) -> Registry:
    return load_registry(entry_points=entry_points)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    monkeypatch.syspath_prepend(str(TOY_FOLDER))
    return EntryPoint("toy", "balsam_toy", "balsam.plugins")


def test_every_role_of_a_plugin_is_picked_by_name(toy: EntryPoint) -> None:
    registry = load(toy)
    assert registry.scheduler("toy").status_command(["7"], "ada") == Command(("toystat", "7"))
    assert registry.mpi_launcher("toyrun").max_concurrent == 1000
    assert registry.node_source("toy").is_fallback is False
    assert registry.machine("toybox").queues[0].name == "debug"


def test_a_plugin_is_listed_with_its_roles(toy: EntryPoint) -> None:
    roles = {
        "scheduler": ("toy",),
        "MPI launcher": ("toyrun",),
        "node source": ("toy",),
        "machine": ("toybox",),
        "observer": ("job events", "batch events"),
    }
    assert load(toy).plugins() == [PluginInfo("toy", None, None, "balsam_toy", roles)]


def test_the_bundled_plugin_is_installed_with_its_distribution() -> None:
    local = next(info for info in load_registry().plugins() if info.name == "local")
    assert (local.distribution, local.module, local.error) == ("balsam-core", "balsam_local", None)
    assert local.roles["MPI launcher"] == ("mpiexec", "openmpi")


def test_an_unknown_name_is_refused_with_the_installed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load(make_plugin(monkeypatch, "a", {"balsam_mpi_launchers": [Run("zrun"), Run("arun")]}))
    with pytest.raises(PluginError, match=r"^no MPI launcher named 'brun'; installed: arun, zrun$"):
        registry.mpi_launcher("brun")
    with pytest.raises(PluginError, match=r"^no scheduler named 'cobolt'; installed: none$"):
        registry.scheduler("cobolt")


def test_a_plugin_that_fails_to_import_is_recorded_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "balsam_test_broken.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(str(tmp_path))
    good = make_plugin(monkeypatch, "good", {"balsam_mpi_launchers": [Run()]})

    registry = load(EntryPoint("broken", "balsam_test_broken", "balsam.plugins"), good)

    assert registry.mpi_launcher("run").name == "run"
    broken = registry.plugins()[0]
    assert broken.roles == {}
    assert broken.error is not None
    assert 'balsam_test_broken.py", line 1' in broken.error
    assert broken.error_summary == "ModuleNotFoundError: No module named 'no_such_module'"
    assert "plugin 'broken' (balsam_test_broken) takes no part" in caplog.text
    with pytest.raises(PluginError, match=r"'broken' \(\S+\) failed: ModuleNotFoundError: "):
        registry.mpi_launcher("other")


def test_a_plugin_that_exits_while_it_is_imported_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "balsam_test_exits.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = load(EntryPoint("exits", "balsam_test_exits", "balsam.plugins"))
    assert registry.plugins()[0].error_summary == "SystemExit: 3"


def test_the_same_entry_point_seen_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = make_plugin(monkeypatch, "a", {"balsam_mpi_launchers": [Run()]})
    registry = load(plugin, plugin)
    assert len(registry.plugins()) == 1
    assert registry.mpi_launcher("run").name == "run"


def test_two_plugins_with_one_name_are_an_error_only_for_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load(
        make_plugin(monkeypatch, "a", {"balsam_mpi_launchers": [Run("run"), Run("other")]}),
        make_plugin(monkeypatch, "b", {"balsam_mpi_launchers": [Run("run")], "balsam_machines": []}),
    )
    assert registry.mpi_launcher("other").name == "other"
    with pytest.raises(PluginError, match=r"'run' is offered by two plugins: 'a' \(\S+\) and 'b' \(\S+\); uninstall"):
        registry.mpi_launcher("run")


def test_one_name_of_two_kinds_is_no_clash(toy: EntryPoint) -> None:
    registry = load(toy)
    assert registry.scheduler("toy").name == registry.node_source("toy").name


def _unmarked() -> list[MpiLauncher]:
    return [Run()]


def _wrong_argument(nonsense: object) -> list[MpiLauncher]:
    return [Run(str(nonsense))]


def _raising() -> Iterable[MpiLauncher]:
    yield Run()
    raise ValueError("half way")


class _Slow(Run):
    min_interval_seconds = -1


class _Nameless(MpiLauncher):
    def command(self, launch: Launch) -> Command:
        return Command(launch.argv)


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        ({"balsam_mpi_launchers": 3}, "balsam_mpi_launchers returned 3, not a list"),
        ({"balsam_mpi_launchers": "run"}, "balsam_mpi_launchers returned 'run', not a list"),
        ({"balsam_mpi_launchers": None}, "balsam_mpi_launchers returned None, not a list"),
        ({"balsam_mpi_launchers": ["run"]}, "balsam_mpi_launchers returned 'run', which is no MpiLauncher"),
        ({"balsam_mpi_launchers": [Run]}, "returned the class Run, which is no MpiLauncher; return an instance of it"),
        ({"balsam_mpi_launchers": [_Nameless()]}, "returned _Nameless whose name is None, not a word"),
        ({"balsam_mpi_launchers": [Run("")]}, "returned Run whose name is '', not a word"),
        ({"balsam_mpi_launchers": [Run(3)]}, "returned Run whose name is 3, not a word"),  # type: ignore[arg-type]
        ({"balsam_mpi_launchers": [_Slow()]}, "_Slow 'run' whose min_interval_seconds is -1, not a number"),
        ({"balsam_mpi_launchers": [Run(), Run()]}, "balsam_mpi_launchers returned two objects named 'run'"),
        ({"balsam_schedulers": [Run()]}, "which is no Scheduler"),
        ({"balsam_node_sources": [Nodes("auto", None)]}, "whose name is 'auto', not another name"),
        ({"balsam_machines": [Machine("m", "s", "m", "n", database="oracle")]}, "not 'sqlite' or"),  # type: ignore[arg-type]
        ({"balsam_settings": [dict]}, "balsam_settings returned [<class 'dict'>], not a pydantic model"),
        ({"balsam_mpi_launchers": _raising}, "ValueError: half way"),
        ({"balsam_mpi_launchers": _wrong_argument}, "nonsense"),
        ({"balsam_mpi_launcherz": []}, "unknown hook 'balsam_mpi_launcherz'"),
    ],
)
def test_what_a_hook_returns_is_checked_and_the_plugin_named(
    hooks: dict[str, object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = load(make_plugin(monkeypatch, "bad", hooks))
    with pytest.raises(PluginError) as caught:
        registry.mpi_launcher("run")
    assert "plugin 'bad' (balsam_test_bad) failed: " in str(caught.value)
    error = registry.plugins()[0].error
    assert error is not None
    assert reason in error


def test_a_hook_without_its_marker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = make_plugin(monkeypatch, "bare", {})
    sys.modules[plugin.value].balsam_mpi_launchers = _unmarked  # type: ignore[attr-defined]
    summary = load(plugin).plugins()[0].error_summary
    assert summary is not None
    assert summary.endswith("balsam_test_bare defines balsam_mpi_launchers without @hookimpl")


def test_a_plugin_without_any_hook_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = load(make_plugin(monkeypatch, "empty", {})).plugins()[0].error_summary
    assert summary is not None
    assert summary.endswith("balsam_test_empty implements no hook; install it again")


def test_an_observer_that_raises_is_logged_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []

    def raising(events: Sequence[object]) -> None:
        raise RuntimeError("my server is down")

    def keeping(events: Sequence[object]) -> None:
        seen.extend(events)

    registry = load(
        make_plugin(monkeypatch, "a", {"balsam_job_events": raising, "balsam_batch_events": raising}),
        make_plugin(monkeypatch, "b", {"balsam_job_events": keeping, "balsam_batch_events": keeping}),
    )
    with caplog.at_level(logging.ERROR):
        registry.notify_job_events([JOB_EVENT])
        registry.notify_batch_events([BATCH_EVENT])

    assert seen == [JOB_EVENT, BATCH_EVENT]
    assert "plugin 'a' (balsam_test_a): balsam_job_events failed" in caplog.text
    assert "my server is down" in caplog.text


def test_an_observer_gets_its_section_if_it_asks_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Section(PluginSettings):
        url: str = ""

    seen: list[object] = []

    def told(events: Sequence[object], settings: object) -> None:
        seen.append(settings)

    (tmp_path / "settings.toml").write_text("[plugins.a]\nurl = 'here'\n")
    hooks = {"balsam_settings": lambda: Section, "balsam_job_events": told, "balsam_batch_events": told}
    registry = load_registry(load_settings(tmp_path, {}), [make_plugin(monkeypatch, "a", hooks)])
    registry.notify_job_events([JOB_EVENT])
    registry.notify_batch_events([BATCH_EVENT])
    assert seen == [Section(url="here"), Section(url="here")]


def test_a_plugin_gets_its_validated_section(toy: EntryPoint, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[plugins.toy]\npartition = 'big'\n")
    registry = load_registry(load_settings(tmp_path, {}), [toy])
    command = registry.scheduler("toy").cancel_command(["1"])
    assert command == Command(("toydel", "1"))
    assert [vars(one) for one in registry.schedulers()] == [{"partition": "big"}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[plugins.toy]\npartitoin = 'big'", "[plugins.toy] has no key 'partitoin'; did you mean 'partition'?"),
        ("[plugins.toy]\npartition = 3", "[plugins.toy] partition = 3: should be a valid string"),
        ("[plugins.tyo]\nx = 3", "[plugins.tyo]: no plugin named 'tyo' is installed; did you mean 'toy'?"),
    ],
)
def test_a_wrong_section_of_a_plugin_is_the_sites_fault(
    text: str, reason: str, toy: EntryPoint, tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_registry(load_settings(tmp_path, {}), [toy])
    assert f"{tmp_path}/settings.toml: {reason}" in str(caught.value)


def test_a_section_for_a_plugin_without_settings_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[plugins.a]\nx = 3")
    plugin = make_plugin(monkeypatch, "a", {"balsam_mpi_launchers": [Run()]})
    with pytest.raises(ConfigError, match=r"\[plugins.a\]: the plugin 'a' has no settings; remove them"):
        load_registry(load_settings(tmp_path, {}), [plugin])


ONE, TWO = Allocation((Node("n1", "n1"),)), Allocation((Node("n1", "n1"), Node("n2", "n2")))


def test_auto_asks_fallbacks_last(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [Nodes("a", ONE, is_fallback=True), Nodes("b", None), Nodes("c", TWO)]
    registry = load(make_plugin(monkeypatch, "p", {"balsam_node_sources": sources}))
    assert [source.name for source in registry.node_sources()] == ["b", "c", "a"]
    assert discover(registry, "auto", NoProbe()) == TWO
    assert discover(registry, "a", NoProbe()) == ONE


def test_a_named_source_that_finds_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load(make_plugin(monkeypatch, "p", {"balsam_node_sources": [Nodes("b", None)]}))
    with pytest.raises(LaunchError, match="node source 'b' finds no nodes here; start the launcher inside a batch job"):
        discover(registry, "b", NoProbe())
    with pytest.raises(LaunchError, match="no node source finds nodes here; asked: b"):
        discover(registry, "auto", NoProbe())


@pytest.mark.parametrize("answer", [Allocation(()), Allocation((Node("n1", "a"), Node("n1", "b"))), "n1"])
def test_an_allocation_that_breaks_the_contract_names_its_source(
    answer: Allocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = load(make_plugin(monkeypatch, "p", {"balsam_node_sources": [Nodes("b", answer)]}))
    with pytest.raises(PluginError, match="node source 'b' returned"):
        discover(registry, "auto", NoProbe())


def test_a_source_that_fails_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_source: Nodes, probe: Probe) -> Allocation:
        raise KeyError("TOY_NODES")

    monkeypatch.setattr(Nodes, "discover", fails)
    registry = load(make_plugin(monkeypatch, "p", {"balsam_node_sources": [Nodes("b", ONE)]}))
    with pytest.raises(PluginError, match=r"node source 'b' failed: KeyError: 'TOY_NODES'; .*--node-source"):
        discover(registry, "auto", NoProbe())


def test_the_example_of_every_hook_runs() -> None:
    finder = doctest.DocTestFinder(recurse=False)
    for name in HOOKS:
        [example] = finder.find(getattr(hookspecs, name), name, globs={})
        assert example.examples, f"{name} has no example"
        assert doctest.DocTestRunner().run(example).failed == 0, name


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_tested(hook: str) -> None:
    assert f"`{hook}" in (ROOT / "docs" / "plugins.md").read_text()
    assert f"def {hook}(" in (TOY_FOLDER / "balsam_toy.py").read_text()
