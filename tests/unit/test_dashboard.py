"""What the dashboard answers, and to whom."""

from __future__ import annotations

import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from balsam_core.models.batch import Evidence
from balsam_core.state.database import open_database
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from tests.batching import put_batch_job
from tests.helpers import (
    MACHINE,
    NO_RERUNS,
    claim,
    make_launcher,
    make_spec,
    put,
    result_of,
    start_of,
    state_of,
    temporary_store,
)

pytestmark = pytest.mark.dashboard

starlette = pytest.importorskip("starlette")

from starlette.testclient import TestClient  # noqa: E402  # after the look whether it is there

from balsam_core.dashboard.access import Keys, scrape_key  # noqa: E402
from balsam_core.dashboard.app import dashboard  # noqa: E402
from balsam_core.dashboard.family import read_family  # noqa: E402
from balsam_core.dashboard.looking import Looker  # noqa: E402
from balsam_core.dashboard.server import serve  # noqa: E402
from balsam_core.errors import ConfigError  # noqa: E402
from balsam_core.site import Site  # noqa: E402

_BASE = "http://localhost:8000"
_SECONDS = 60


@dataclass
class Served:
    """A dashboard, and the links that it has told."""

    store: Store
    keys: Keys
    client: TestClient
    links: list[str] = field(default_factory=list)

    def enter(self) -> TestClient:
        """A browser that came by the link."""
        assert self.client.get("/", params={"token": self.keys.token}).status_code == 200
        return self.client


@pytest.fixture(params=[False])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    store = temporary_store(tmp_path)
    links: list[str] = []
    keys = Keys("the-key", links.append)
    watched = open_database(str(store.database.url))
    app = dashboard(Looker(Site(tmp_path), store, MACHINE), keys, watched, allow_actions=request.param)
    with TestClient(app, base_url=_BASE) as client:
        yield Served(store, keys, client, links)
    watched.close()
    store.database.close()


def whole(client: TestClient, path: str, **params: str | int) -> Any:
    """The answer when it holds all: what takes long is not waited for."""
    end = time.monotonic() + _SECONDS
    while True:
        answer = client.get(path, params=params or None)
        if answer.status_code != 202 and "being counted" not in answer.text and "being read" not in answer.text:
            return answer
        assert time.monotonic() < end
        time.sleep(0.05)


actions = pytest.mark.parametrize("served", [True], indirect=True)


def test_without_a_link_nothing_is_shown(served: Served) -> None:
    for path in ("/", "/jobs", "/charts.json", "/metrics", "/changes", "/static/dashboard.js"):
        answer = served.client.get(path)
        assert (answer.status_code, "each link works once" in answer.text) == (403, True)


def test_a_link_works_once_and_the_next_one_is_told(served: Served) -> None:
    token = served.keys.token
    served.enter()
    assert served.links == [served.keys.token]
    assert served.keys.token != token
    served.client.cookies.clear()
    assert served.client.get("/", params={"token": token}).status_code == 403


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_pages(served: Served) -> None:
    answer = served.client.get("/", params={"token": served.keys.token}, follow_redirects=False)
    assert answer.headers["location"] == f"{_BASE}/"
    assert answer.headers["set-cookie"].startswith("balsam-8000=")
    assert "HttpOnly; Path=/; SameSite=strict" in answer.headers["set-cookie"]


def test_another_name_of_this_host_is_refused(served: Served) -> None:
    assert served.enter().get("/", headers={"host": "evil.example"}).status_code == 400


def test_the_overview_counts_the_jobs_by_state(served: Served) -> None:
    put(served.store, State.CREATED, "a")
    put(served.store, State.CREATED, "b")
    page = served.enter().get("/").text
    assert '<a href="/jobs?state=CREATED"><b>2</b> CREATED</a>' in page


def test_jobs_are_filtered_and_paged_and_their_names_are_text(served: Served) -> None:
    for number in range(60):
        put(served.store, State.CREATED, f"<b>{number:02}")
    put(served.store, State.FAILED, "bad")
    client = served.enter()
    first, second = (whole(client, "/jobs", name="<b>", page=page).text for page in (1, 2))
    assert "60 jobs" in first
    assert "page 2 of 2" in second
    assert "<td>&lt;b&gt;00<td>" in first
    assert "<td>&lt;b&gt;59<td>" in second
    assert "1 job<" in whole(client, "/jobs", state="FAILED").text


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/jobs?state=FAILD", 400, "FAILED"),
        ("/jobs/ffffffff", 404, "no job"),
        ("/batch-jobs/77", 404, "no batch job"),
        ("/launchers/ffff", 404, "no launcher"),
        ("/jobs?page=" + "9" * 5000, 200, "0 jobs"),
        ("/utilization?window=x", 400, "hour, day, week, all"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_what_cannot_be_shown_says_why(served: Served, path: str, status: int, message: str) -> None:
    answer = whole(served.enter(), path)
    assert (answer.status_code, message in answer.text) == (status, True)


def test_a_database_that_cannot_serve_is_no_fault_of_the_request(served: Served) -> None:
    job = put(served.store, State.CREATED)
    client = served.enter()
    with served.store.database.write() as tx:
        tx.exec_driver_sql("ALTER TABLE jobs RENAME TO elsewhere")
    answer = client.get(f"/jobs/{job}")
    assert (answer.status_code, "not as Balsam made it" in answer.text) == (503, True)


def test_a_job_is_shown_with_why_it_waits_and_the_jobs_around_it(served: Served) -> None:
    parent = put(served.store, State.FAILED, "mother")
    child = put(served.store, State.CREATED, "child", parents=[parent], hold=True)
    page = served.enter().get(f"/jobs/{child}").text
    assert "<p>It is on hold: no launcher takes it up.</p>" in page
    assert f"<code>balsam release {str(child)[:8]}</code>" in page
    assert f'<a href="/jobs/{parent}" class="FAILED">' in page
    assert f'<a href="/jobs/{child}" class="CREATED this">' in page
    assert "it has not run yet" in page
    assert "Kill" not in page


def test_an_output_that_cannot_be_read_says_why(served: Served, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    job = put(served.store, State.RUNNING, user_workdir=str(tmp_path / "file" / "folder"))
    answer = served.enter().get(f"/jobs/{job}")
    assert (answer.status_code, "(cannot be read: Not a directory)" in answer.text) == (200, True)


def test_a_job_alone_has_no_graph(served: Served) -> None:
    assert "<svg" not in served.enter().get(f"/jobs/{put(served.store)}").text


def test_a_family_is_read_in_few_statements_and_says_what_it_leaves_out(tmp_path: Path, each_database: None) -> None:
    store = temporary_store(tmp_path)
    chain = [put(store, name="eve")]
    for number in range(7):
        chain.append(put(store, name=f"{number}", parents=[chain[-1]]))
    brood = [make_spec(f"c{number}", parents=(chain[-1],)) for number in range(60)]
    store.add_jobs([*brood, make_spec("last", parents=tuple(one.job_id for one in brood))])
    statements: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    found = read_family(store, store.job(chain[-1]))
    assert len(statements) <= 14
    assert [one.job_id for one in found.above] == chain[-2:1:-1]
    assert (len(found.below), found.hidden_above, found.hidden_below) == (40, 1, 21)
    assert len(found.edges) == 45


def test_what_nodes_and_launchers_did_is_drawn(served: Served) -> None:
    launcher = make_launcher(served.store, nodes=2)
    put(served.store, State.PREPROCESSED)
    (job,) = claim(served.store, launcher)
    begin, end = start_of(job, at=time.time() - 72, node="n7"), result_of(job, at=time.time())
    served.store.report(launcher, [begin], [end], NO_RERUNS)
    client = served.enter()
    page = whole(client, "/utilization").text
    assert f'<a href="/launchers/{launcher}">' in page
    assert "n7 2 %" in page
    assert "0.02 of " in page
    for window in ("day", "week", "all"):
        assert "n7" in whole(client, "/utilization", window=window).text


def test_a_batch_job_is_shown_with_what_showed_each_change(served: Served) -> None:
    answer = Evidence(("sbatch", "launch.sh"), 0, "Submitted batch job 4711\n", "a <warning>", False)
    launch_id = put_batch_job(served.store, answer)
    launcher = make_launcher(served.store, launch_id=launch_id)
    client = served.enter()
    listed = client.get("/batch-jobs").text
    assert "1 batch job<" in listed
    assert '<a href="/batch-jobs/1">1</a><td>4711<td>slurm' in listed
    page = client.get("/batch-jobs/1").text
    assert "<p>It asks for 2 nodes for 30 minutes, to run jobs of all workflows in mpi mode.</p>" in page
    assert f"<p>Launcher {str(launcher)[:8]} (serial mode, 1 node, on here) is at work since" in page
    assert "<code>sbatch launch.sh</code>" in page
    assert "exit code 0" in page
    assert "<pre>Submitted batch job 4711\n\na &lt;warning&gt;</pre>" in page
    assert "<h1>Batch job 1</h1>" in client.get("/batch-jobs/4711").text
    assert "no batch job is called" in client.get("/batch-jobs/2").text


def test_launchers_are_listed_and_explained(served: Served) -> None:
    ended, lives = make_launcher(served.store), make_launcher(served.store)
    served.store.end_launcher(ended, "its <time> is over")
    client = served.enter()
    listed = client.get("/launchers").text
    assert all(f'<a href="/launchers/{one}">' in listed for one in (ended, lives))
    assert "its &lt;time&gt; is over" in listed
    assert "<p>Its lease holds: " in client.get(f"/launchers/{lives}").text
    assert "<p>It ended at " in client.get(f"/launchers/{ended}").text


def test_a_read_only_dashboard_kills_nothing(served: Served) -> None:
    job_id = put(served.store, State.CREATED)
    answer = served.enter().post(f"/jobs/{job_id}/kill", headers={"origin": _BASE})
    assert (answer.status_code, "--allow-actions" in answer.text) == (403, True)
    assert state_of(served.store, job_id) is State.CREATED


@actions
def test_a_job_is_killed_from_its_own_page_only(served: Served) -> None:
    job_id = put(served.store, State.CREATED)
    client = served.enter()
    for origin in ({}, {"origin": "http://localhost:9000"}):
        assert client.post(f"/jobs/{job_id}/kill", headers=origin).status_code == 403
    assert state_of(served.store, job_id) is State.CREATED
    assert client.post(f"/jobs/{job_id}/kill", headers={"origin": _BASE}).status_code == 200
    assert state_of(served.store, job_id) is State.USER_KILLED


def test_metrics_are_for_who_knows_the_key_of_the_site(served: Served) -> None:
    put(served.store, State.CREATED)
    answer = served.client.get("/metrics", headers={"authorization": "Bearer the-key"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    lines = answer.text.splitlines()
    assert 'balsam_jobs{state="CREATED"} 1' in lines
    assert lines[-1] == "# EOF"
    for other in ("/", "/jobs"):
        assert served.client.get(other, headers={"authorization": "Bearer the-key"}).status_code == 403


def test_the_key_of_the_site_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "dashboard.key"
    key = scrape_key(file)
    assert len(key) > 30
    assert scrape_key(file) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_charts_are_of_the_history(served: Served) -> None:
    assert whole(served.enter(), "/charts.json").json()["times"] == []


def test_a_port_that_is_taken_is_named_with_the_way_out(tmp_path: Path) -> None:
    looker = Looker(Site(tmp_path), temporary_store(tmp_path), MACHINE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as raised:
            serve(looker, port, allow_actions=False, say=print)
    assert str(raised.value) == (
        f"cannot serve on port {port}: address already in use; without `--port` any free one is taken"
    )
