"""What all tests share: no site of the developer leaks in, and what a machine lacks is named."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import browser, helpers, loopback, postgres
from tests.slurm import cluster

# Named as its entry point is, so that pytest loads it once.
pytest_plugins = ["balsam_core.testing.fixtures"]
REQUIRE_ALL = bool(os.environ.get("BALSAM_TEST_REQUIRE_ALL"))


@pytest.fixture(autouse=True)
def _no_site_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see no BALSAM_* variable and a home of their own, in which known sites are remembered."""
    for name in list(os.environ):
        if name.startswith("BALSAM_") and name != "BALSAM_TEST_REQUIRE_ALL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    """A PostgreSQL server, for the tests of one process."""
    server = postgres.PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[cluster.SlurmCluster]:
    """A Slurm of four nodes, for all workers of this run."""
    yield from cluster.started()


@pytest.fixture
def slurm(slurm_cluster: cluster.SlurmCluster) -> Iterator[cluster.SlurmCluster]:
    """The same for a test that wants no outage."""
    with slurm_cluster.undisturbed():
        yield slurm_cluster


@pytest.fixture
def web(tmp_path: Path) -> Iterator[loopback.WebServer]:
    """A web server that serves the folder `web`."""
    with loopback.web_server(tmp_path / "web") as server:
        yield server


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[loopback.SshServer]:
    """An sshd, for the tests of one process."""
    server = loopback.SshServer(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def each_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test twice: `temporary_store` makes SQLite files, then PostgreSQL databases."""
    if request.param == "sqlite":
        yield request.param
        return
    helpers.SERVER.append(request.getfixturevalue("postgres_server"))
    yield request.param
    helpers.SERVER.pop().give_back()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip by name what this machine cannot run; with BALSAM_TEST_REQUIRE_ALL nothing is skipped."""
    if REQUIRE_ALL:
        return
    no_mpiexec = "" if mpiexec() else "no mpiexec here; pip install 'balsam-core[mpi]'"
    no_matplotlib = "" if find_spec("matplotlib") else "no matplotlib here; pip install 'balsam-core[plot]'"
    no_textual = "" if find_spec("textual") else "no textual here; pip install 'balsam-core[top]'"
    no_mkdocs = "" if find_spec("material") else "no mkdocs-material here; pip install 'balsam-core[docs]'"
    missing = {
        "docs": no_mkdocs,
        "mpi": no_mpiexec,
        "postgres": postgres.why_not(),
        "slurm": cluster.why_not(),
        "plot": no_matplotlib,
        "top": no_textual,
        "dashboard": "" if find_spec("starlette") else "no starlette here; pip install 'balsam-core[dashboard]'",
        "browser": browser.why_not(),
        **loopback.why_not(),
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def mpiexec() -> str | None:
    """The mpiexec that the tests would use."""
    beside_python = Path(sys.executable).parent / "mpiexec"
    return str(beside_python) if beside_python.exists() else shutil.which("mpiexec")
