"""The pages of the dashboard: what each of them shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from balsam_core.dashboard.graph import BOX_HEIGHT, BOX_WIDTH, drawing
from balsam_core.dashboard.kept import Kept
from balsam_core.dashboard.live import Changes
from balsam_core.dashboard.looking import Charts, Looker
from balsam_core.dashboard.metrics import CONTENT_TYPE, open_metrics
from balsam_core.dashboard.timeline import LEFT, WIDTH, bar, steps, ticks
from balsam_core.dashboard.utilization import Used, Window
from balsam_core.errors import DatabaseError, JobSpecError
from balsam_core.growing import Growing, end_of
from balsam_core.models.job import Job
from balsam_core.monitoring.snapshot import JobsSeen, Snapshot, View
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import END, State, parse_state
from balsam_core.workdirs import Workdirs

_ROWS = 50
_OUTPUT_LINES = 200
_LAUNCHERS = 25
# So long no browser makes the server read anew, whatever has changed.
_GOOD_SECONDS = 1.0
_CHARTS_GOOD_SECONDS = 10.0
# Nothing is fetched from elsewhere, and no page may show these in a frame of its own.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'; form-action 'self'"
)
# What is longer is no page of ours, and beyond the last one all the same.
_PAGE_DIGITS = 9
# Of the fields of a job, those that say something when they are empty, and those that the page shows by itself.
_ALWAYS = frozenset({"workflow", "application", "args"})
_ELSEWHERE = frozenset({"seq", "name", "job_id", "state", "attempt", "parents", "created_at", "state_at", "pid_clock"})

_Line = TypeVar("_Line")


class Pages:
    """Starlette runs these in threads, but for `changes`."""

    def __init__(self, looker: Looker, changes: Changes, allow_actions: bool) -> None:
        self._looker = looker
        self._changes = changes
        self._overview: Kept[None, Snapshot] = Kept(lambda _: looker.overview(), _GOOD_SECONDS, changes)
        self._jobs: Kept[_Asked, JobsSeen] = Kept(lambda asked: looker.jobs(asked.view), _GOOD_SECONDS, changes)
        self._charts: Kept[None, Charts] = Kept(lambda _: looker.charts(), _CHARTS_GOOD_SECONDS, changes)
        self._used: Kept[Window, Used] = Kept(looker.used, _GOOD_SECONDS, changes)
        self._allow_actions = allow_actions
        self._templates = Environment(
            loader=PackageLoader("balsam_core.dashboard", "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"utc": _utc}
        self._templates.globals |= {"box_width": BOX_WIDTH, "box_height": BOX_HEIGHT}
        self._templates.globals |= {"left": LEFT, "width": WIDTH, "steps": steps}

    def overview(self, _request: Request) -> Response:
        """The site now: states, rate, launchers and their nodes, batch jobs, what fails; its history as charts."""
        return self._page("overview.html.j2", "Overview", seen=self._overview.get(None))

    def jobs(self, request: Request) -> Response:
        """The jobs of a filter, a page of them."""
        name, workflow, state = (request.query_params.get(word, "").strip() for word in ("name", "workflow", "state"))
        asked = _Asked(name, workflow, state, _page_number(request))
        seen = self._jobs.soon(asked)
        return self._page(
            "jobs.html.j2",
            "Jobs",
            asked=asked,
            states=[state.value for state in State],
            seen=seen,
            leaf=_Leaf(asked.page, request.url, _pages(seen.total if seen else 0)),
        )

    def job(self, request: Request) -> Response:
        """One job: why it is where it is, the jobs around it, its history, the end of its output, its fields."""
        job = self._looker.store.find_job(request.path_params["job_id"])
        family = self._looker.family(job)
        output = Workdirs(self._looker.site.data).output_of(job)
        return self._page(
            "job.html.j2",
            job.name,
            job=job,
            fields=_shown(job),
            said=self._looker.explained_job(job),
            family=family,
            graph=drawing(family) if family.edges else None,
            events=self._looker.store.history([job.job_id]),
            output=output,
            text=end_of(Growing(output), _OUTPUT_LINES),
            may_kill=self._allow_actions and job.state not in END,
        )

    def batch_jobs(self, request: Request) -> Response:
        """The batch jobs, the newest first."""
        found = self._looker.batch_jobs()
        leaf = _Leaf.of(request, len(found))
        return self._page("batch_jobs.html.j2", "Batch jobs", found=leaf.cut(found), total=len(found), leaf=leaf)

    def batch_job(self, request: Request) -> Response:
        """One batch job: why it is where it is, and what showed each change."""
        job, said = self._looker.explained_batch_job(request.path_params["number"])
        moves = self._looker.store.batches.history([job.launch_id])
        return self._page("batch_job.html.j2", f"Batch job {job.number}", job=job, said=said, moves=moves)

    def launchers(self, request: Request) -> Response:
        """The launchers and those that have ended, the newest first."""
        found = self._looker.store.launchers(ended=True)[::-1]
        leaf = _Leaf.of(request, len(found))
        return self._page("launchers.html.j2", "Launchers", found=leaf.cut(found), total=len(found), leaf=leaf)

    def launcher(self, request: Request) -> Response:
        """One launcher: its lease, what it holds, the end of its log."""
        said = self._looker.explained_launcher(request.path_params["launcher_id"])
        return self._page("launcher.html.j2", f"Launcher {request.path_params['launcher_id'][:8]}", said=said)

    def kill(self, request: Request) -> Response:
        """Kill one job, and show it again."""
        if not self._allow_actions:
            return PlainTextResponse("read-only: start `balsam dashboard --allow-actions` to kill jobs\n", 403)
        job = self._looker.store.find_job(request.path_params["job_id"])
        self._looker.store.kill(JobFilter(ids=(str(job.job_id),)), message="killed on the dashboard")
        self._changes.note()
        return RedirectResponse(f"/jobs/{job.job_id}", 303)

    def charts(self, _request: Request) -> Response:
        """The history, as numbers for the charts; 202: it is being read, and comes a little later."""
        charts = self._charts.soon(None)
        return JSONResponse(asdict(charts)) if charts else JSONResponse({}, 202)

    def utilization(self, request: Request) -> Response:
        """Nodes busy over time: all together, those of each launcher, each by itself."""
        window = _window(request.query_params.get("window", Window.HOUR.value))
        used = self._used.soon(window)
        return self._page(
            "utilization.html.j2",
            "Utilization",
            windows=list(Window),
            window=window,
            used=used,
            **(_drawn(used, request) if used else {}),
        )

    def metrics(self, _request: Request) -> Response:
        """For monitoring."""
        return PlainTextResponse(open_metrics(self._overview.get(None)), media_type=CONTENT_TYPE)

    async def changes(self, _request: Request) -> Response:
        """Tells when to look again."""
        return self._changes.stream()

    def problem(self, request: Request, error: Exception) -> Response:
        """A page for what cannot be shown, with the reason."""
        status = 503 if isinstance(error, DatabaseError) else 404 if request.path_params else 400
        return self._page("problem.html.j2", "Problem", status, error=error)

    def _page(self, template: str, title: str, status: int = 200, /, **values: Any) -> Response:
        page = self._templates.get_template(template)
        site = str(self._looker.site.path)
        return HTMLResponse(page.render(title=title, site=site, **values), status, {"content-security-policy": _POLICY})


def _window(name: str) -> Window:
    try:
        return Window(name)
    except ValueError:
        choices = ", ".join(window.value for window in Window)
        raise JobSpecError(f"no window {name!r}; there are {choices}") from None


@dataclass(frozen=True)
class _Asked:
    """A page of the jobs of a filter, in the words of the request; empty ones mean all."""

    name: str
    workflow: str
    state: str
    page: int

    @property
    def view(self) -> View:
        """What is to be read; raises InvalidState."""
        states = (parse_state(self.state),) if self.state else ()
        wanted = JobFilter(name=self.name, workflow=self.workflow, states=states)
        return View(wanted, (self.page - 1) * _ROWS, _ROWS)


@dataclass(frozen=True)
class _Leaf:
    """A page of a list that is too long for one; the first has the number 1."""

    number: int
    url: URL
    pages: int = 1

    @classmethod
    def of(cls, request: Request, total: int) -> _Leaf:
        """The page that was asked for, or the last one."""
        pages = _pages(total)
        return cls(min(_page_number(request), pages), request.url, pages)

    @property
    def offset(self) -> int:
        """How many lines stand before it."""
        return (self.number - 1) * _ROWS

    def cut(self, lines: Sequence[_Line]) -> Sequence[_Line]:
        """The lines of the page."""
        return lines[self.offset :][:_ROWS]

    def link(self, number: int) -> str:
        """Where another page is."""
        return str(self.url.include_query_params(page=number))


def _pages(total: int) -> int:
    return max(1, -(-total // _ROWS))


def _page_number(request: Request) -> int:
    number = request.query_params.get("page", "1")
    return max(1, int(number[:_PAGE_DIGITS])) if number.isdecimal() else 1


def _drawn(used: Used, request: Request) -> dict[str, Any]:
    """What the page of the utilization draws: the newest launchers, a page of nodes."""
    span, now = used.total.span, time.time()
    leaf = _Leaf.of(request, len(used.nodes or ()))
    nodes = None if used.nodes is None else leaf.cut(list(used.nodes.items()))
    return {
        "most": max([*used.total.busy, *used.total.available]),
        "ticks": ticks(span),
        "launchers": [(one, bar(span, one.start, one.until(now))) for one in used.launchers[:_LAUNCHERS]],
        "more_launchers": len(used.launchers[_LAUNCHERS:]),
        "nodes": None if nodes is None else [(name, shares, sum(shares) / len(shares)) for name, shares in nodes],
        "leaf": leaf,
    }


def _shown(job: Job) -> dict[str, str]:
    """The fields of a job that say something."""
    said = ((name, value) for name, value in job.model_dump().items() if name not in _ELSEWHERE)
    return {name: str(value) for name, value in said if name in _ALWAYS or value not in (None, "", {}, ())}


def _utc(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}"
