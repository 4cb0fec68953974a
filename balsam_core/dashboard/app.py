"""The dashboard as one ASGI program: which page is where, and who may see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from balsam_core.dashboard.access import Guard, Keys
from balsam_core.dashboard.live import Changes
from balsam_core.dashboard.looking import Looker
from balsam_core.dashboard.views import Pages
from balsam_core.errors import BalsamError
from balsam_core.state.database import Database

_HOSTS = ["127.0.0.1", "localhost", "[::1]"]


def dashboard(looker: Looker, keys: Keys, watched: Database, *, allow_actions: bool) -> Starlette:
    """The program. watched: the database once more, for this alone. allow_actions: whether a page may kill a job."""
    changes = Changes(watched)
    pages = Pages(looker, changes, allow_actions)

    @asynccontextmanager
    async def watching(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(changes.watch)
            yield
            tasks.cancel_scope.cancel()

    return Starlette(
        routes=[
            Route("/", pages.overview),
            Route("/jobs", pages.jobs),
            Route("/jobs/{job_id}", pages.job),
            Route("/jobs/{job_id}/kill", pages.kill, methods=["POST"]),
            Route("/batch-jobs", pages.batch_jobs),
            Route("/batch-jobs/{number}", pages.batch_job),
            Route("/launchers", pages.launchers),
            Route("/launchers/{launcher_id}", pages.launcher),
            Route("/utilization", pages.utilization),
            Route("/charts.json", pages.charts),
            Route("/metrics", pages.metrics),
            Route("/changes", pages.changes),
            Mount("/static", StaticFiles(packages=[("balsam_core.dashboard", "static")])),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS), Middleware(Guard, keys=keys)],
        exception_handlers={BalsamError: pages.problem},
        lifespan=watching,
    )
