"""Who may see the pages: a browser that came by the link of the terminal, and a scraper that knows the site's key.

A host may have other users, who can connect to a port on loopback just as well.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

_KEY_MODE = 0o600
_REFUSED = "this page needs the link that `balsam dashboard` has printed last; each link works once\n"
_FOREIGN = "this request came from another page\n"


class Keys:
    """The token of the next link, and the secret that browsers get for one; scrape_key: what /metrics takes."""

    def __init__(self, scrape_key: str, spent: Callable[[str], None]) -> None:
        self.scrape_key = scrape_key
        self.token = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(32)
        self._spent = spent

    def redeem(self, token: str) -> str | None:
        """The secret for a browser that has brought the token, which is another one from now on."""
        if not _same(token, self.token):
            return None
        self.token = secrets.token_urlsafe(24)
        self._spent(self.token)
        return self._session

    def knows(self, session: str) -> bool:
        """Whether a browser came by a link."""
        return _same(session, self._session)

    def may_scrape(self, authorization: str) -> bool:
        """Whether a request for /metrics has the site's key."""
        return _same(authorization, f"Bearer {self.scrape_key}")


class Guard:
    """Lets a request pass to the pages, or answers it by itself: 303 for a link, 403 without a right."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._answer(Request(scope))
        await (self._app if answer is None else answer)(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        cookie = cookie_name(request.url)
        if "token" in request.query_params:
            session = self._keys.redeem(request.query_params["token"])
            if session is not None:
                there = RedirectResponse(request.url.remove_query_params("token"), 303)
                there.set_cookie(cookie, session, httponly=True, samesite="strict", path="/")
                return there
        if request.url.path == "/metrics" and self._keys.may_scrape(request.headers.get("authorization", "")):
            return None
        if not self._keys.knows(request.cookies.get(cookie, "")):
            return PlainTextResponse(_REFUSED, 403)
        if request.method != "GET" and request.headers.get("origin") != f"http://{request.url.netloc}":
            return PlainTextResponse(_FOREIGN, 403)
        return None


def cookie_name(url: URL) -> str:
    """Browsers keep cookies by host, whatever the port: that is in the name."""
    return f"balsam-{url.port or 80}"


def scrape_key(file: Path) -> str:
    """The key in a file that only its owner can read; made when it is not there."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _KEY_MODE)
    except FileExistsError:
        return file.read_text().strip()
    key = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w") as made:
        made.write(f"{key}\n")
    return key


def _same(given: str, known: str) -> bool:
    return secrets.compare_digest(given.encode(), known.encode())
