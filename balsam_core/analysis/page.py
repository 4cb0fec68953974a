"""Writes HTML files that hold all that they show: figures are SVG in the page, and nothing is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from balsam_core.analysis.report import Report

_MOST_ROWS = 100


def figure_page(title: str, figure: str) -> str:
    """A page with one figure; figure: an `<svg>` element."""
    return _pages().get_template("figure.html.j2").render(title=title, figure=Markup(figure))


def report_page(report: Report, figures: Mapping[str, str]) -> str:
    """The report of a workflow; figures: title -> `<svg>` element."""
    shown = {title: Markup(figure) for title, figure in figures.items()}
    return (
        _pages()
        .get_template("report.html.j2")
        .render(title=f"Workflow {report.workflow}", report=report, figures=shown, most=_MOST_ROWS)
    )


def duration(seconds: float) -> str:
    """`3.2 s`, `4 min 10 s`, `2 h 05 min`, `3 d 04 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // part:02} {part_name}"
    return f"{whole} s"


def _pages() -> Environment:
    pages = Environment(
        loader=PackageLoader("balsam_core", "analysis"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters |= {"utc": _utc, "duration": duration, "hours": "{:.2f}".format}
    return pages


def _utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}"
