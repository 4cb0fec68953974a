"""The example plugin `webhook`: installed as its own distribution, told by real launchers, telling a real server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integration.launching import SECONDS, Site, wait_until


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


class Server(ThreadingHTTPServer):
    """Keeps what it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: list[dict[str, Any]] = []


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield server
        server.shutdown()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def webhook(port: int, **settings: str) -> dict[str, str]:
    """The plugin's section as variables."""
    given = {"url": f"http://127.0.0.1:{port}/secret", "interval_seconds": "0.1", **settings}
    return {f"BALSAM_WEBHOOK__{key.upper()}": value for key, value in given.items()}


def test_ends_of_workflows_and_batch_jobs_and_an_application_that_keeps_failing_are_told(
    python: Path, site: Site, server: Server
) -> None:
    site.environ |= {**webhook(server.server_port), "BALSAM_LOCAL__QUEUE_PATH": str(site.folder / "queue")}
    # The last move of one job is made by a script, of which there is no event.
    site.app("slow", "/bin/true", postprocess=site.shell("post", "sleep 0.5"))
    site.add("a", workflow="good")
    site.add("b", workflow="good", application="slow")
    site.app("broken", "/bin/false")
    broken = [site.add(f"job{number}", workflow="bad", application="broken") for number in range(4)]

    words = ("-n", "1", "-t", "10", "-q", "local", "-A", "none", "--job-mode", "serial")
    site.balsam("submit-launch", *words, prefix=[str(python)])
    wait_until(lambda: len(server.told) == 3, SECONDS, lambda: str(server.told))
    wait_until(lambda: _batch_job_is_told(python, site, server), SECONDS, lambda: str(server.told))

    common = {"site": str(site.folder), "host": socket.gethostname()}
    failing, batch_job, bad, good = sorted(server.told, key=_event_and_states)
    assert bad == {**common, "event": "workflow_ended", "workflow": "bad", "states": {"FAILED": 4}}
    assert good == {**common, "event": "workflow_ended", "workflow": "good", "states": {"JOB_FINISHED": 2}}
    assert (batch_job["event"], batch_job["batch_job_id"], batch_job["state"]) == ("batch_job_ended", "1", "ENDED")
    last = next(job for job in broken if str(job) == failing["job_id"])
    assert failing == {
        **common, "event": "application_failing", "application": "broken", "failures": 3, "job_id": str(last),
        "job": site.store.job(last).name, "workflow": "bad", "message": site.message(last, "RUN_ERROR"),
    }  # fmt: skip


def _event_and_states(message: dict[str, Any]) -> str:
    return f"{message['event']} {message.get('states')}"


def _batch_job_is_told(python: Path, site: Site, server: Server) -> bool:
    site.balsam("ls", "queues", prefix=[str(python)])
    return len(server.told) == 4


def test_a_server_that_never_answers_holds_up_no_job_and_the_log_keeps_the_secret(python: Path, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        first = site.add("first", workflow="one")
        second = site.add("second", workflow="two", args="", parents=[first])
        address = webhook(silent.getsockname()[1], timeout_seconds="2.0", interval_seconds="0.01")
        launcher = site.start(prefix=[str(python)], **address)
        assert launcher.wait() == 0, launcher.text
    ends = [site.store.history([job])[-1] for job in (first, second)]
    assert [end.to_state for end in ends] == ["JOB_FINISHED", "JOB_FINISHED"]
    assert ends[1].at - ends[0].at < 2.0
    assert "webhook http://127.0.0.1 was not told of workflow_ended: timed out" in launcher.text
    assert "secret" not in launcher.text
