"""A PostgreSQL server for the tests: started once per test session, by an ordinary user, without fsync."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from uuid import uuid4

from sqlalchemy import make_url

from balsam_core.errors import BalsamError, ConfigError
from balsam_core.server.binaries import find_binaries

_START_SECONDS = 60.0
_SPEED = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"


class PostgresServer:
    """The server of one test process."""

    def __init__(self) -> None:
        # Not below a folder of pytest: those are closed to the user who runs the server.
        self.folder = Path(tempfile.mkdtemp(prefix="balsam-postgres-"))
        binaries = find_binaries("", os.environ)
        data = self.folder / "data"
        self.port = free_port()
        if os.geteuid() == 0:
            user = pwd.getpwnam(server_user())
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        initdb = [binaries / "initdb", "-D", data, "-U", "balsam", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([*as_user(), *map(str, initdb), "--locale=C"], check=True, capture_output=True, cwd="/")
        arguments = f"-D {data} -p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= {_SPEED}"
        self._command = [*as_user(), str(binaries / "postgres"), *arguments.split()]
        self._free: list[str] = []
        self._used: list[str] = []
        self.start()

    def start(self) -> None:
        """Start the server; `run` waits until it answers."""
        with self.folder.joinpath("log").open("a") as log:
            self.process = subprocess.Popen(self._command, cwd="/", stdout=log, stderr=log, start_new_session=True)

    def crash(self) -> None:
        """Immediate shutdown: no connection is ended in order, and the next start has to recover."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)

    def keep_commits(self, url: str) -> None:
        """From now on a commit of this database outlives a crash of the server (not of the host)."""
        self.run(f"ALTER DATABASE {make_url(url).database} SET synchronous_commit = on")

    def take(self) -> tuple[str, bool]:
        """The URL of a database that no test uses, and whether it was used before."""
        if self._free:
            self._used.append(self._free.pop())
            return self._used[-1], True
        name = f"t{uuid4().hex[:12]}"
        self.run(f"CREATE DATABASE {name}")
        self._used.append(self.url(name))
        return self._used[-1], False

    def give_back(self) -> None:
        """The tests are done with the databases that they took."""
        self._free += self._used
        self._used = []

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql://balsam@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run one statement, as soon as the server answers."""
        import psycopg

        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with psycopg.connect(self.url(database), autocommit=True) as connection:
                    connection.execute(statement.encode())
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """End the server; its files go too."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    """A port of this host that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def why_not() -> str:
    """Why no server can run here; empty: one can."""
    try:
        import psycopg  # noqa: F401 asks whether it is there

        find_binaries("", os.environ)
        server_user()
    except (ImportError, BalsamError) as error:
        return str(error)
    return ""


@cache
def server_user() -> str:
    """Who runs the server: this user, unless it is root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ConfigError("root cannot run PostgreSQL, and there is no user `postgres` or `nobody` to run it")


def as_user() -> list[str]:
    """What goes before a command, so that the user of the server runs it."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(server_user())
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def shown(url: str) -> str:
    """A URL with its password, as `open_store` takes it."""
    return make_url(url).render_as_string(hide_password=False)
