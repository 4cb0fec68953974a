"""A real Chromium without a screen, for tests of web pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SECONDS = 60
# Nothing but the page is fetched: without these it asks for updates of its own.
_QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)


def why_not() -> str:
    """Why there is none; empty: there is."""
    if not find_spec("playwright"):
        return "no playwright here; pip install 'balsam-core[dev]'"
    return "" if shutil.which("chromium") else "no chromium here (Debian: chromium)"


@contextmanager
def opened_page() -> Iterator[Page]:
    """An empty page; every wait on it ends after some seconds. Errors of its scripts fail the test."""
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_QUIET.split())
        try:
            page = chromium.new_page(viewport={"width": 1100, "height": 800})
            page.set_default_timeout(_SECONDS * 1000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            yield page
        finally:
            chromium.close()
    assert not errors
