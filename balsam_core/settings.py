"""The site's settings: `settings.toml`, with variables `BALSAM_<SECTION>__<KEY>` over it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from balsam_core.errors import ConfigError, suggestion
from balsam_core.models.wording import in_plain_words

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

SETTINGS_FILE = "settings.toml"
_PREFIX = "BALSAM_"
_Model = TypeVar("_Model", bound=BaseModel)


def _not_a_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


def _split(value: object) -> object:
    """A list as a variable gives it: `1,255` or `[1, 255]`."""
    if not isinstance(value, str):
        return value
    return value.strip().strip("[]").replace(",", " ").split()


def _decoded(value: object) -> object:
    """A variable holds text, and only the model knows of what: lists and tables are written as JSON."""
    if isinstance(value, str) and value.startswith(("[", "{")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


Seconds = Annotated[float, BeforeValidator(_not_a_bool), Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(_not_a_bool), Field(ge=0)]
PositiveCount = Annotated[int, BeforeValidator(_not_a_bool), Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """One section of the file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteSettings(Section):
    """[site]: data_path: where job folders lie, relative to the site (None: its `data`); database: an URL, empty:
    SQLite in the site folder, `postgresql`: a private server; journal: SQLite's, `delete` on a network file system.
    min_free_mb: with less room than so many megabytes on the disk of the job folders, launchers and `which` warn.
    Of the private server: pg_bin: the folder of its programs; listen: its addresses, joined by commas; tls_*: files."""

    data_path: Annotated[str, Field(min_length=1)] | None = None
    database: str = ""
    journal: Literal["wal", "delete"] = "wal"
    min_free_mb: Count = 1000
    pg_bin: str = ""
    listen: Name = "127.0.0.1"
    tls_certificate: str = ""
    tls_key: str = ""


class SchedulerSettings(Section):
    """[scheduler]: which one, how long its commands may take, and whether batch jobs run on this very host (none: as
    the scheduler says), so that a database for one host serves them."""

    name: Name = "local"
    command_timeout_seconds: Seconds = 30.0
    same_host: bool | None = None


class MpiSettings(Section):
    """[mpi]: which MPI launcher starts parallel programs."""

    name: Name = "mpiexec"


class NodesSettings(Section):
    """[nodes]: which node source finds the nodes; `auto`: the first that knows this machine.

    cpus (cores), threads_per_core, gpus, memory_mb: what each node has, over what the node source finds.
    """

    source: Name = "auto"
    cpus: PositiveCount | None = None
    threads_per_core: PositiveCount | None = None
    gpus: Count | None = None
    memory_mb: PositiveCount | None = None


class LauncherSettings(Section):
    """[launcher]: leases, stopping, retries, scripts, what to do when a rank of many nodes dies.

    lease_seconds: a launcher that is silent for so long has lost its jobs. stop_grace_seconds: between SIGTERM and
    SIGKILL. max_retries: automatic reruns of a job that ended with one of retry_codes (a signal N is -N) within
    retry_window_seconds of its start. timeout_retries: reruns after the job's own timeout.
    function_processes: whether each call of a Python function gets a process of its own, or one that made others.
    """

    lease_seconds: Seconds = 90.0
    stop_grace_seconds: Seconds = 5.0
    max_retries: Count = 0
    timeout_retries: Count = 3
    retry_codes: Annotated[tuple[int, ...], BeforeValidator(_split)] = ()
    retry_window_seconds: Seconds = 20.0
    num_transition_threads: PositiveCount = 4
    script_timeout_seconds: Seconds = 300.0
    default_job_mode: Literal["serial", "mpi"] = "serial"
    function_processes: Literal["fresh", "reused"] = "fresh"
    on_rank_death: Literal["restart", "end"] = "restart"


class StagingSettings(Section):
    """[staging]: limits of transfers from and to other hosts.

    retries: further tries of a file. at_once: files of one job at a time. silence_seconds: how long a server may send
    nothing. timeout_seconds: how long one job's staging may take in all.
    """

    retries: Count = 2
    at_once: PositiveCount = 4
    silence_seconds: Seconds = 60.0
    timeout_seconds: Seconds = 3600.0


class TemplateSettings(Section):
    """[template]: what batch scripts are made of.

    file: the template, empty: the scheduler's own. modules: loaded first. exports: variables of the environment.
    pre_commands, post_commands: lines of shell around the launcher. variables: further values for a template of yours.
    """

    file: str = ""
    modules: tuple[str, ...] = ()
    exports: dict[str, str] = {}
    pre_commands: tuple[str, ...] = ()
    post_commands: tuple[str, ...] = ()
    variables: dict[str, Any] = {}

    _from_variable = field_validator("modules", "exports", "pre_commands", "post_commands", "variables", mode="before")(
        _decoded
    )


class QueueSettings(Section):
    """One [[queues]]: a queue and its limits; None: no limit. max_queued: batch jobs that wait or run at a time;
    max_running: that run, where the scheduler has the others wait; max_total_nodes: of all of them together."""

    name: Name
    project: str | None = None
    min_nodes: PositiveCount = 1
    max_nodes: PositiveCount | None = None
    min_minutes: PositiveCount = 1
    max_minutes: PositiveCount | None = None
    max_queued: PositiveCount | None = None
    max_running: PositiveCount | None = None
    max_total_nodes: PositiveCount | None = None

    @field_validator("max_nodes", "max_minutes")
    @classmethod
    def _leaves_room(cls, most: int | None, info: ValidationInfo) -> int | None:
        name = str(info.field_name).replace("max", "min")
        least = info.data.get(name, 1)
        if most is not None and most < least:
            raise ValueError(f"should be at least {name}, which is {least}")
        return most


class ServiceSettings(Section):
    """[service]: how often it looks, what it takes a job for that says no time, when it gives a queue a rest.

    max_failures: so many batch jobs of a queue in a row that failed before a launcher began, and it pauses there.
    """

    interval_seconds: Seconds = 60.0
    assumed_minutes: PositiveCount = 10
    max_failures: PositiveCount = 3
    wf_filter: str = ""


@dataclass(frozen=True)
class _Origin:
    """Where values come from: the file, and the variables by the path of the key they set."""

    file: Path
    variables: Mapping[tuple[str, ...], str]

    def variable(self, path: Sequence[str | int]) -> str | None:
        """The variable that sets the key at `path`, a part of it, or what it is a part of."""
        for known, name in self.variables.items():
            if all(one == other for one, other in zip(known, path, strict=False)):
                return name
        return None

    def where(self, path: Sequence[str | int]) -> str:
        return self.variable(path) or f"{self.file}: {_header(path)}"


class Settings(BaseSettings):
    """All of a site's settings; `load_settings` reads them. plugins: raw sections, each for its plugin to validate."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, enable_decoding=False
    )

    site: SiteSettings = SiteSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    mpi: MpiSettings = MpiSettings()
    nodes: NodesSettings = NodesSettings()
    launcher: LauncherSettings = LauncherSettings()
    staging: StagingSettings = StagingSettings()
    template: TemplateSettings = TemplateSettings()
    queues: tuple[QueueSettings, ...] = ()
    service: ServiceSettings = ServiceSettings()
    plugins: dict[str, dict[str, Any]] = {}

    _origin: _Origin = PrivateAttr(default_factory=lambda: _Origin(Path(SETTINGS_FILE), {}))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` passes: it reads the file and the variables, to name them in its errors."""
        return (init_settings,)

    def plugin(self, name: str, model: type[_Model]) -> _Model:
        """The section [plugins.NAME] as the plugin's own model; ConfigError names the key and its place."""
        raw = {key: _decoded(value) for key, value in self.plugins.get(name, {}).items()}
        for key in raw:
            if key not in _keys(model) and model.model_config.get("extra") != "allow":
                raise ConfigError(_unknown(self._origin, ("plugins", name, key), _keys(model)))
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(_one_line(error, model, self._origin, ("plugins", name))) from error

    def where(self, *path: str) -> str:
        """The place that sets `path`, as errors name it: the variable, or the file and the section."""
        return self._origin.where(path)


def load_settings(site_path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings of the site at `site_path`; a missing file means the defaults.

    Variables of the form BALSAM_<SECTION>__<KEY> beat the file. A section named as an installed plugin is short for
    [plugins.NAME]. Raises ConfigError in one line that names the place, the key, the value and the way out.
    """
    file = Path(site_path) / SETTINGS_FILE
    variables = {_path(name): name for name in environ if name.startswith(_PREFIX) and "__" in name}
    origin = _Origin(file, variables)
    in_file = _plugins_apart(_read_toml(file), file)
    in_environ = _read_variables({path: environ[name] for path, name in variables.items()})
    try:
        settings = Settings(**_merged(in_file, in_environ))
    except ValidationError as error:
        raise ConfigError(_one_line(error, Settings, origin)) from error
    settings._origin = origin
    return settings


def _path(variable: str) -> tuple[str, ...]:
    """The path of the key that a variable sets; refused when no section has that name."""
    path = tuple(variable.removeprefix(_PREFIX).lower().split("__"))
    if path[0] in Settings.model_fields:
        return path
    if path[0] in _plugin_names():
        return ("plugins", *path)
    hint = suggestion(path[0], {*Settings.model_fields, *_plugin_names()})
    raise ConfigError(f"{variable}: there is no section [{path[0]}]; {hint}")


def _plugins_apart(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The file's content with [NAME] of an installed plugin as [plugins.NAME]; any other section is refused."""
    known = {name: value for name, value in content.items() if name in Settings.model_fields}
    for name in content.keys() - known.keys():
        if name not in _plugin_names():
            hint = suggestion(name, {*Settings.model_fields, *_plugin_names()})
            raise ConfigError(f"{file}: there is no section [{name}]; {hint}")
        if name in known.get("plugins", {}):
            raise ConfigError(f"{file}: both [{name}] and [plugins.{name}] are there; keep one of them")
        known = _merged(known, {"plugins": {name: content[name]}})
    return known


def _plugin_names() -> set[str]:
    """The names of installed plugins; none of them is loaded."""
    return {entry_point.name for entry_point in metadata.entry_points(group="balsam.plugins")}


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = tomllib.loads(file.read_bytes().decode("utf-8"))
        return content
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; make it a file that you may read") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        # Tables are tuples there: ('launcher',) or ('plugins', 'slurm').
        reason = re.sub(r"\('([^)]*)',?\)", lambda found: "[" + found[1].replace("', '", ".") + "]", str(error))
        raise ConfigError(f"{file}: {reason[:1].lower()}{reason[1:]}; correct it there") from error


def _read_variables(values: Mapping[tuple[str, ...], str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    source.env_vars = {_PREFIX.lower() + "__".join(path): value for path, value in values.items()}
    return source()


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merged(old, value)
        result[key] = value
    return result


def _one_line(error: ValidationError, model: type[BaseModel], origin: _Origin, section: tuple[str, ...] = ()) -> str:
    """The first error, with its place, its value and the way out."""
    first = error.errors()[0]
    path = (*section, *first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown(origin, path, _keys(_model_at(model, first["loc"][:-1])))
    reason = _in_words_of_toml(first["msg"])
    if first["type"] == "missing":
        return f"{origin.where(path)} needs a {path[-1]}; add it"
    key = origin.variable(path) or " ".join([origin.where(path), ".".join(map(str, _keys_below_header(path)))])
    return f"{key.strip()} = {first['input']!r}: {reason}; {_way_out(model, first['loc'])}"


def _in_words_of_toml(message: str) -> str:
    """Pydantic's words as someone who writes TOML says them."""
    message = re.sub(r"valid dictionary( or instance of \w+)?", "table", message)
    return in_plain_words(message.replace("valid tuple", "list"))


def _unknown(origin: _Origin, path: Sequence[str | int], known: set[str]) -> str:
    variable = origin.variable(path)
    place = f"{variable}: {_header(path)}" if variable else origin.where(path)
    return f"{place} has no key {path[-1]!r}; {suggestion(str(path[-1]), known)}"


def _header(path: Sequence[str | int]) -> str:
    """The section that holds `path`, as the file shows it."""
    if path[0] == "plugins" and len(path) > 1:
        return f"[plugins.{path[1]}]"
    if path[0] == "queues":
        return "[[queues]]" if len(path) < 2 else f"[[queues]] (number {int(path[1]) + 1})"
    return f"[{path[0]}]"


def _keys_below_header(path: Sequence[str | int]) -> Sequence[str | int]:
    return path[2:] if path[0] in ("plugins", "queues") else path[1:]


def _keys(model: type[BaseModel] | None) -> set[str]:
    fields = model.model_fields if model else {}
    return {*fields, *(field.alias for field in fields.values() if field.alias)}


def _model_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel] | None:
    """The model of the section at `path`."""
    found: object = model
    for key in path:
        if isinstance(found, type) and issubclass(found, BaseModel) and key in found.model_fields:
            found = found.model_fields[str(key)].annotation
        elif isinstance(key, int) and get_args(found):
            found = get_args(found)[0]
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _way_out(model: type[BaseModel], path: Sequence[str | int]) -> str:
    section = _model_at(model, path[:-1])
    field = section.model_fields.get(str(path[-1])) if section else None
    if field is None or field.is_required() or field.default in (None, "", ()):
        return "correct it or leave it out"
    if isinstance(field.default, BaseModel):
        return f"write it as a section [{path[-1]}]"
    return f"the default is {field.default!r}"
