"""`balsam dashboard` as a user has it: the command, its link, a browser."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from balsam_core.models.batch import Evidence
from balsam_core.state.machine import State
from balsam_core.state.store import Store, open_store, sqlite_url
from tests import browser
from tests.acceptance.runner import BALSAM
from tests.batching import put_batch_job
from tests.helpers import make_spec, move, only

pytestmark = [pytest.mark.dashboard, pytest.mark.browser]

_SECONDS = 60


@pytest.fixture
def store(hello: Path) -> Iterator[Store]:
    opened = open_store(sqlite_url(hello / "balsam.db"))
    yield opened
    opened.database.close()


@pytest.fixture
def link(site: Path) -> Iterator[str]:
    command = [str(BALSAM), "dashboard", "--allow-actions"]
    server = subprocess.Popen(command, cwd=site, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout
    try:
        yield server.stdout.readline().strip()
    finally:
        server.send_signal(signal.SIGINT)
        try:
            assert server.wait(_SECONDS) in (0, 130)
        finally:
            server.kill()
            server.wait(_SECONDS)
            server.stdout.close()


def test_a_browser_sees_a_job_change_follows_its_graph_and_kills_another(store: Store, link: str) -> None:
    one, other = store.add_jobs(
        [make_spec(name="one", application="hello"), make_spec(name="<i>other", application="hello")]
    )
    (child,) = store.add_jobs([make_spec(name="child", application="hello", parents=(one,))])
    put_batch_job(store, Evidence(("sbatch", "launch.sh"), 0, "Submitted batch job 4711", "", False))
    with browser.opened_page() as page:
        page.goto(link)
        assert "token" not in page.url
        page.locator(".states li", has_text="3 CREATED").wait_for()
        page.locator(".chart canvas").first.wait_for()

        page.click("nav >> text=Jobs")
        page.fill("input[name=name]", "one")
        page.click("button")
        page.locator("#jobs", has_text="1 job").wait_for()
        page.click("table a")
        assert page.url.endswith(str(one))
        page.locator("#state", has_text="CREATED").wait_for()
        page.locator("#link", has_text="live").wait_for()
        move(store, one, State.PREPROCESSED, "by a test")
        page.locator("#state", has_text="PREPROCESSED").wait_for()
        page.locator("pre", has_text="by a test").wait_for()
        page.locator(".said", has_text="No launcher runs").wait_for()

        page.click(".graph a:has-text('child')")
        page.locator("h1", has_text="child").wait_for()
        assert page.url.endswith(str(child))
        page.locator(".said", has_text="It waits for").wait_for()

        page.goto(re.sub(r"/jobs/.*", f"/jobs/{other}", page.url))
        page.locator("h1", has_text="<i>other").wait_for()
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("text=Kill")
        page.locator("#state", has_text="USER_KILLED").wait_for()

        page.click("nav >> text=Utilization")
        page.locator(".timeline").first.wait_for()
        page.click("nav >> text=Batch jobs")
        page.click("table a")
        page.locator("h1", has_text="Batch job 1").wait_for()
        page.locator(".said", has_text="Batch job 1 (slurm 4711) is QUEUED").wait_for()
        page.locator("td", has_text="sbatch launch.sh").locator("pre", has_text="Submitted batch job 4711").wait_for()
    assert store.count_by_state(only(other)) == {State.USER_KILLED: 1}
