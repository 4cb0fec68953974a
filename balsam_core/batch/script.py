"""Renders batch scripts: strict templates, whose values break out of neither a directive nor the shell."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from traceback import extract_tb

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
)

from balsam_core.errors import ConfigError
from balsam_core.models.batch import BatchRequest
from balsam_core.plugins.contracts import Scheduler
from balsam_core.settings import TemplateSettings
from balsam_core.site import Site

# The launcher ends so long before the batch job would be killed: a part of its time, within bounds.
_MARGIN = 0.05
_LEAST_MARGIN_SECONDS = 15.0
_MOST_MARGIN_SECONDS = 120.0
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def render_script(
    scheduler: Scheduler,
    request: BatchRequest,
    site: Site,
    settings: TemplateSettings,
    *,
    environ: Mapping[str, str],
    python: str = sys.executable,
) -> str:
    """The batch script of `request`; raises ConfigError, which names the template and what is wrong with it.

    environ: of whoever submits: the launcher shall read the same settings and find the same modules.
    """
    package, _, own = scheduler.template.partition(":")
    name = settings.file or own
    try:
        return (
            _environment(site.templates, package)
            .get_template(name)
            .render(
                request=request,
                scheduler=scheduler.template_values(request),
                settings=settings,
                variables=settings.variables,
                site=str(site.path),
                programs=str(Path(python).parent),
                exports=_exports(environ, settings.exports),
                launcher=launcher_words(request, python),
                margin_seconds=round(margin_seconds(request.time_limit_minutes)),
            )
        )
    except TemplateNotFound as error:
        places = f"neither in {site.templates} nor in {package}"
        raise ConfigError(f"there is no template {error.name!r}, {places}; correct [template] file") from error
    except (TemplateError, ImportError, TypeError, ValueError) as error:
        place = f"the template {name}{_line_of(error, name)}"
        raise ConfigError(f"{place} for {scheduler.name!r} cannot be rendered: {error}") from error


def launcher_words(request: BatchRequest, python: str = sys.executable) -> tuple[str, ...]:
    """The command that a batch script runs: the launcher, with a time limit that leaves a margin."""
    minutes = request.time_limit_minutes - margin_seconds(request.time_limit_minutes) / 60
    words = [python, "-m", "balsam_core", "launcher", "--job-mode", request.job_mode]
    words += ["--consume-all"] if request.wf_filter is None else [f"--wf-filter={request.wf_filter}"]
    words += [f"--time-limit-minutes={minutes:.2f}", f"--launch-id={request.launch_id}"]
    given = {"--mpi": request.mpi, "--node-source": request.node_source, "--gpus-per-node": request.gpus_per_node}
    return (*words, *(f"{option}={value}" for option, value in given.items() if value is not None))


def margin_seconds(time_limit_minutes: int) -> float:
    """How long before the end of a batch job its launcher ends."""
    return min(max(time_limit_minutes * 60 * _MARGIN, _LEAST_MARGIN_SECONDS), _MOST_MARGIN_SECONDS)


def _environment(folder: Path, package: str) -> Environment:
    """Templates of the site come first, then the plugin's, then those that all share."""
    loaders: list[BaseLoader] = [FileSystemLoader(folder), PackageLoader(package, "")]
    if package != "balsam_templates":
        loaders.append(PackageLoader("balsam_templates", ""))
    jinja = Environment(
        loader=ChoiceLoader(loaders),
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    jinja.filters.update(quote=_quote, words=_words, variable=_variable)
    return jinja


def _line_of(error: Exception, name: str) -> str:
    """`, line 3,` of the template in which rendering failed: jinja puts the lines of templates into tracebacks."""
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename).name == Path(name).name]
    return f", line {lines[-1]}," if lines else ""


def _printable(value: object) -> object:
    """Every value that a template prints: on one line, so that it stays in its directive or command."""
    if value is None:
        raise ValueError("a value that the template prints is not set")
    if isinstance(value, str) and _CONTROL.search(value):
        raise ValueError(f"{value!r} holds a newline or a control character; leave it out")
    return value


def _quote(value: object) -> str:
    """One word for the shell."""
    return shlex.quote(str(value))


def _words(values: Iterable[object]) -> str:
    """Several words for the shell."""
    return " ".join(map(_quote, values))


def _variable(name: str) -> str:
    """The name of a variable of the environment."""
    if not _VARIABLE.match(name):
        raise ValueError(f"{name!r} is no name of a variable; correct [template] exports")
    return name


def _exports(environ: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Variables that the launcher needs as they are here; passwords never stand in a script."""
    settings = {
        name: value
        for name, value in sorted(environ.items())
        if name.startswith("BALSAM_") and "__" in name and name != "BALSAM_SITE__DATABASE"
    }
    own = {name: environ[name] for name in ("LC_ALL", "PYTHONPATH") if environ.get(name)}
    return {**own, **settings, **given}
