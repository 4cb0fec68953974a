"""Shows a chart as `balsam plot` asks: as a table, or drawn into a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from balsam_core.analysis.charts import chart
from balsam_core.analysis.figures import check_matplotlib, svg, write_figure
from balsam_core.analysis.lanes import Gantt
from balsam_core.analysis.text import INTERVALS, as_text
from balsam_core.cli.context import Opened, current_folder
from balsam_core.cli.output import print_lines, print_table, tell, warn
from balsam_core.cli.selection import Chosen
from balsam_core.errors import ConfigError
from balsam_core.homes import expanded
from balsam_core.models.job import safe_folder
from balsam_core.state.hosts import machine_id
from balsam_core.state.store import Store


def print_chart(store: Store, kind: str, chosen: Chosen) -> None:
    """The chart as a table."""
    wanted = None if chosen.is_empty else chosen.filter()
    table = as_text(chart(store, kind, wanted, chosen.workflow, now=time.time(), intervals=INTERVALS))
    print_table(table.headers, table.rows)
    if table.remark:
        tell(table.remark)


def draw_chart(here: Opened, kind: str, chosen: Chosen, output: Path) -> None:
    """The chart drawn into a file; raises ConfigError when it cannot be drawn or written."""
    check_matplotlib()
    wanted = None if chosen.is_empty else chosen.filter()
    made = chart(here.store, kind, wanted, chosen.workflow, now=time.time())
    title = f"{kind.capitalize()}: {chosen.workflow or here.site.path.name}"
    file = current_folder() / expanded(output)
    with _named_if_unwritable(file):
        if file.suffix.lower() == ".html":
            from balsam_core.analysis.page import figure_page

            file.write_text(figure_page(title, svg(made)), encoding="utf-8")
        else:
            write_figure(made, file, title)
    if isinstance(made, Gantt) and made.hidden:
        warn(f"{made.hidden} more nodes are not shown; choose jobs with --wf, --name or --tag")
    print_lines([f"Wrote {file}"])


def write_report(here: Opened, workflow: str, output: Path | None) -> None:
    """The report of a workflow, without figures where matplotlib is missing; raises JobSpecError, ConfigError."""
    from balsam_core.analysis.page import report_page
    from balsam_core.analysis.report import make_report

    machine = machine_id(os.environ)
    made = make_report(here.store, workflow, site=str(here.site.path), machine_id=machine, now=time.time())
    named = f"{safe_folder(workflow).replace('/', '_')}-report.html"
    file = current_folder() / (expanded(output) if output else named)
    try:
        figures = {title: svg(drawn) for title, drawn in made.charts.items()}
    except ConfigError as error:
        figures = {}
        warn(f"the report is without figures: {error}")
    with _named_if_unwritable(file):
        file.write_text(report_page(made, figures), encoding="utf-8")
    print_lines([f"Wrote {file}"])


@contextmanager
def _named_if_unwritable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}; give another file with -o") from error
