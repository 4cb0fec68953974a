"""What a site's history looks like: tables, figures."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from balsam_core.analysis.charts import KINDS
from balsam_core.cli.plot import _KINDS
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End
from balsam_core.state.store import open_store, sqlite_url
from tests.acceptance.runner import CommandLine
from tests.helpers import finish, make_launcher, put, running


class Nesting(HTMLParser):
    """Reads a page and fails on an end that closes something else than what was opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Something is opened; `meta` never is."""
        self.open += [] if tag == "meta" else [tag]

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Something that holds nothing."""

    def handle_endtag(self, tag: str) -> None:
        """Something is closed."""
        assert self.open.pop() == tag, self.getpos()


def is_well_formed(page: str) -> bool:
    """Whether all that a page opens is closed, in order."""
    reader = Nesting()
    reader.feed(page)
    reader.close()
    return not reader.open


@pytest.fixture
def worked(hello: Path) -> Path:
    """A site with jobs that ran, failed, and wait."""
    store = open_store(sqlite_url(hello / "balsam.db"))
    launcher = make_launcher(store, nodes=2)
    for name in ("a", "b"):
        finish(store, launcher, running(store, launcher, name, application="hello"), at=3.0)
    put(store, State.CREATED, "waits", application="hello", workflow="other")
    store.end_launcher(launcher, "nothing more can run", 2)
    store.database.close()
    return hello


def test_every_plot_is_a_table_without_a_file(balsam: CommandLine, worked: Path) -> None:
    assert _KINDS == KINDS
    tables = {kind: balsam.ok("plot", kind).out.splitlines() for kind in KINDS}
    assert [len(tables[kind]) - 2 for kind in KINDS] == [18, 18, 18, 1, 1]
    assert tables["gantt"][2].split(" | ")[:3] == ["n1  ", "2       ", "2      "]
    assert balsam.ok("plot", "states", "--name", "waits").out.splitlines()[0].split() == ["seconds", "|", "CREATED"]


def test_a_plot_of_nothing_or_of_an_unknown_kind_says_so(balsam: CommandLine, site: Path) -> None:
    ran = balsam("plot", "states")
    assert (ran.code, ran.err) == (1, "balsam: no jobs found matching query; there is nothing to plot\n")
    assert balsam("plot", "states", "-o", "a.gif").err.startswith("balsam plot: cannot tell how to draw 'a.gif'")
    assert "takes --wf alone" in balsam("plot", "scaling", "--name", "a").err


def test_without_matplotlib_a_figure_says_what_to_install(
    balsam: CommandLine, worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    ran = balsam("plot", "states", "-o", "a.png")
    assert (ran.code, "pip install 'balsam-core[plot]'" in ran.err, Path("a.png").exists()) == (1, True, False)


@pytest.mark.plot
@pytest.mark.parametrize("kind", KINDS)
def test_every_plot_can_be_drawn(balsam: CommandLine, worked: Path, kind: str) -> None:
    for name in ("a.svg", "a.png", "a.html"):
        assert balsam.ok("plot", kind, "-o", name).out == f"Wrote {worked / name}\n"
    assert ElementTree.parse("a.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    page = Path("a.html").read_text()
    assert (page.count("<svg"), is_well_formed(page)) == (1, True)
    assert [word for word in ("src=", "url(http", "<script", "<link") if word in page] == []


@pytest.mark.plot
def test_a_dollar_in_the_name_of_a_workflow_begins_no_formula(balsam: CommandLine, worked: Path) -> None:
    balsam.ok("job", "--name", "a", "--workflow", r"$\a$", "--application", "hello", "--yes")
    balsam.ok("plot", "states", "--wf", r"$\a$", "-o", "a.svg")
    balsam.ok("plot", "states", "--wf", r"$\a$", "-o", "a.png")


@pytest.mark.plot
def test_a_file_that_cannot_be_written_is_named(balsam: CommandLine, worked: Path) -> None:
    ran = balsam("plot", "states", "-o", "no/such/a.png")
    assert (ran.code, ran.err.startswith(f"balsam: cannot write {worked}/no/such/a.png: No such file")) == (1, True)


def test_a_report_holds_all_that_it_shows(balsam: CommandLine, worked: Path) -> None:
    store = open_store(sqlite_url(worked / "balsam.db"))
    launcher = make_launcher(store, nodes=3)
    failed = running(store, launcher, "<c>", application="hello")
    finish(store, launcher, failed, End.ERROR, message="nonzero return 7: no <input> 12", at=4.0)
    store.database.close()
    assert balsam.ok("report", "test").out == f"Wrote {worked / 'test-report.html'}\n"
    page = Path("test-report.html").read_text()
    assert "2 JOB_FINISHED, 1 FAILED" in page
    assert "<td>nonzero return 7: no &lt;input&gt; #</td><td>&lt;c&gt;</td>" in page
    assert "none: no batch job was submitted" in page
    assert [word for word in ("src=", "url(http", "<script", "<link", "@import") if word in page] == []
    assert is_well_formed(page)
    assert page.count("<table>") == 5


def test_a_report_of_an_unknown_workflow_names_the_nearest(balsam: CommandLine, worked: Path) -> None:
    ran = balsam("report", "tests")
    assert (ran.code, ran.err) == (1, "balsam: no job has the workflow 'tests'; did you mean 'test'?\n")


@pytest.mark.plot
def test_a_report_has_its_figures_inside(balsam: CommandLine, worked: Path) -> None:
    balsam.ok("report", "test", "-o", "r.html")
    page = Path("r.html").read_text()
    assert (page.count("<svg"), is_well_formed(page)) == (4, True)
