"""Reading a site's settings: what beats what, and how a mistake is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from balsam_core.errors import ConfigError
from balsam_core.plugins import PluginSettings
from balsam_core.settings import QueueSettings, Settings, load_settings

FILE = "/settings.toml: "


class Toy(PluginSettings):
    nodes: int = 2
    hosts: tuple[str, ...] = ()


def read(folder: Path, text: str, **variables: str) -> Settings:
    (folder / "settings.toml").write_text(text)
    return load_settings(folder, variables)


def test_a_site_without_a_settings_file_has_the_defaults(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    assert settings.model_dump() == Settings().model_dump()
    assert (settings.scheduler.name, settings.mpi.name, settings.nodes.source) == ("local", "mpiexec", "auto")
    assert (settings.launcher.lease_seconds, settings.launcher.stop_grace_seconds) == (90, 5)
    assert (settings.launcher.max_retries, settings.launcher.timeout_retries) == (0, 3)
    assert (settings.launcher.retry_codes, settings.launcher.retry_window_seconds) == ((), 20)


def test_the_file_sets_every_kind_of_section(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        "[launcher]\nlease_seconds = 5\nretry_codes = [1, -11]\n[template.variables]\nmail = 'a@b'\n"
        "[[queues]]\nname = 'debug'\nmax_nodes = 8\n[plugins.toy]\nnodes = 3\n",
    )
    assert settings.launcher.lease_seconds == 5
    assert settings.launcher.retry_codes == (1, -11)
    assert settings.template.variables == {"mail": "a@b"}
    assert settings.queues == (QueueSettings(name="debug", max_nodes=8),)
    assert settings.plugins == {"toy": {"nodes": 3}}


def test_a_variable_beats_the_file_key_by_key(tmp_path: Path) -> None:
    text = "[launcher]\nlease_seconds = 5\nmax_retries = 2\n"
    launcher = read(tmp_path, text, BALSAM_LAUNCHER__LEASE_SECONDS="7").launcher
    assert (launcher.lease_seconds, launcher.max_retries) == (7, 2)


def test_variables_are_read_from_the_given_environment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALSAM_LAUNCHER__LEASE_SECONDS", "7")
    assert load_settings(tmp_path, {}).launcher.lease_seconds == 90


@pytest.mark.parametrize("codes", ["1,-11", "[1, -11]", "1 -11"])
def test_a_variable_may_hold_a_list(codes: str, tmp_path: Path) -> None:
    assert read(tmp_path, "", BALSAM_LAUNCHER__RETRY_CODES=codes).launcher.retry_codes == (1, -11)


def test_lists_and_tables_of_the_template_come_from_variables_as_json(tmp_path: Path) -> None:
    variables = {
        "BALSAM_TEMPLATE__MODULES": '["gcc", "mpich"]',
        "BALSAM_TEMPLATE__PRE_COMMANDS": '["source setup.sh || exit 1"]',
        "BALSAM_TEMPLATE__EXPORTS": '{"MODE": "fast"}',
    }
    template = read(tmp_path, "", **variables).template
    assert (template.modules, template.exports) == (("gcc", "mpich"), {"MODE": "fast"})
    assert template.pre_commands == ("source setup.sh || exit 1",)


def test_variables_without_a_double_underscore_are_no_settings(tmp_path: Path) -> None:
    settings = read(tmp_path, "", BALSAM_JOB_ID="x", BALSAM_LAUNCHER_NODES="2", BALSAM_SITE="x")
    assert settings.model_dump() == Settings().model_dump()


def test_a_section_named_as_a_plugin_is_short_for_its_own(tmp_path: Path) -> None:
    assert read(tmp_path, "[local]\nvirtual_nodes = 3").plugins == {"local": {"virtual_nodes": 3}}
    for variable in ("BALSAM_LOCAL__VIRTUAL_NODES", "BALSAM_PLUGINS__LOCAL__VIRTUAL_NODES"):
        # Text or number: pydantic-settings reads it differently on Python 3.10, the plugin's own model does not care.
        assert str(read(tmp_path, "", **{variable: "8"}).plugins) in {
            "{'local': {'virtual_nodes': '8'}}",
            "{'local': {'virtual_nodes': 8}}",
        }


def test_a_plugins_section_becomes_its_own_model(tmp_path: Path) -> None:
    variables = {"BALSAM_PLUGINS__TOY__HOSTS": '["a", "b"]'}
    settings = read(tmp_path, "[plugins.toy]\nnodes = 3", **variables)
    assert settings.plugin("toy", Toy) == Toy(nodes=3, hosts=("a", "b"))
    assert settings.plugin("other", Toy) == Toy()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[launcher]\nlease_second = 5", "[launcher] has no key 'lease_second'; did you mean 'lease_seconds'?"),
        ("[luancher]\nx = 5", "there is no section [luancher]; did you mean 'launcher'?"),
        ("launchr = 5", "there is no section [launchr]; did you mean 'launcher'?"),
        (
            "[launcher]\nlease_seconds = -5",
            "[launcher] lease_seconds = -5: should be greater than 0; the default is 90.0",
        ),
        (
            "[launcher]\nlease_seconds = inf",
            "[launcher] lease_seconds = inf: should be a finite number; the default is 90.0",
        ),
        (
            "[launcher]\nlease_seconds = true",
            "[launcher] lease_seconds = True: should be a number; the default is 90.0",
        ),
        (
            "[launcher]\nmax_retries = -1",
            "[launcher] max_retries = -1: should be greater than or equal to 0; the default is 0",
        ),
        (
            "[launcher]\ndefault_job_mode = 'both'",
            "[launcher] default_job_mode = 'both': should be 'serial' or 'mpi'; the default is 'serial'",
        ),
        ("launcher = 3", "[launcher] = 3: should be a table; write it as a section [launcher]"),
        ("[plugins]\ntoy = 3", "[plugins.toy] = 3: should be a table; correct it or leave it out"),
        ("[[queues]]\nname='a'\nmax_node=3", "[[queues]] (number 1) has no key 'max_node'; did you mean 'max_nodes'?"),
        ("[[queues]]\nmax_nodes = 3", "[[queues]] (number 1) needs a name; add it"),
        (
            "[[queues]]\nname = 'a'\nmax_nodes = 2\nmin_nodes = 9",
            "[[queues]] (number 1) max_nodes = 2: should be at least min_nodes, which is 9; correct it or leave it out",
        ),
        (
            "[[queues]]\nname = 'a'\nmin_minutes = 9\nmax_minutes = 2",
            "[[queues]] (number 1) max_minutes = 2: should be at least min_minutes, which is 9;"
            " correct it or leave it out",
        ),
        ("[queues]\nname = 'a'", "[[queues]] = {'name': 'a'}: should be a list; correct it or leave it out"),
        ("[local]\nx = 1\n[plugins.local]\ny = 1", "both [local] and [plugins.local] are there; keep one of them"),
        (
            "[launcher]\nlease_seconds 5",
            "expected '=' after a key in a key/value pair (at line 2, column 15); correct it there",
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_the_way_out(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path}{FILE}{message}"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "BALSAM_LAUNCHER__LEASE_SECOND",
            "5",
            "BALSAM_LAUNCHER__LEASE_SECOND: [launcher] has no key 'lease_second'; did you mean 'lease_seconds'?",
        ),
        (
            "BALSAM_LUANCHER__LEASE_SECONDS",
            "5",
            "BALSAM_LUANCHER__LEASE_SECONDS: there is no section [luancher]; did you mean 'launcher'?",
        ),
        (
            "BALSAM_LAUNCHER__LEASE_SECONDS",
            "soon",
            "BALSAM_LAUNCHER__LEASE_SECONDS = 'soon': should be a valid number, unable to parse string as a number;"
            " the default is 90.0",
        ),
        (
            "BALSAM_LAUNCHER__LEASE_SECONDS",
            "-5",
            "BALSAM_LAUNCHER__LEASE_SECONDS = '-5': should be greater than 0; the default is 90.0",
        ),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(variable: str, value: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "[launcher]\nlease_seconds = 5", **{variable: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ("[plugins.toy]\nnode = 3", {}, "{file}[plugins.toy] has no key 'node'; did you mean 'nodes'?"),
        (
            "[plugins.toy]\nnodes = 'x'",
            {},
            "{file}[plugins.toy] nodes = 'x': should be a valid integer, unable to parse string as an integer;"
            " the default is 2",
        ),
        (
            "",
            {"BALSAM_PLUGINS__TOY__NODE": "3"},
            "BALSAM_PLUGINS__TOY__NODE: [plugins.toy] has no key 'node'; did you mean 'nodes'?",
        ),
    ],
)
def test_a_mistake_in_a_plugins_section_is_told_like_any_other(
    text: str, variables: Mapping[str, str], message: str, tmp_path: Path
) -> None:
    settings = read(tmp_path, text, **variables)
    with pytest.raises(ConfigError) as caught:
        settings.plugin("toy", Toy)
    assert str(caught.value) == message.format(file=f"{tmp_path}{FILE}")


def test_a_settings_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(ConfigError, match=r"cannot read \S+settings.toml: Is a directory; make it a file"):
        load_settings(tmp_path, {})


def test_a_settings_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"settings.toml: is not UTF-8 text; save it as UTF-8"):
        load_settings(tmp_path, {})
