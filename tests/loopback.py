"""Servers on loopback for tests of staging: HTTP with faults on order, and a real sshd with keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_START_SECONDS = 60.0


def why_not() -> dict[str, str]:
    """What keeps the tests of a marker from running here; empty: nothing."""
    packages = [name for name in ("aiohttp", "paramiko") if find_spec(name) is None]
    programs = [name for name, path in (("sshd", SSHD), ("rsync", shutil.which("rsync"))) if path is None]
    no_packages = f"no {' and '.join(packages)} here; pip install 'balsam-core[staging]'"
    no_programs = f"no {' and '.join(programs)} here; apt-get install openssh-server rsync"
    return {"staging": no_packages if packages else "", "sshd": no_programs if programs else ""}


class WebServer(ThreadingHTTPServer):
    """Serves a folder, and takes files by PUT.

    busy: so many requests are answered by 503. cut: of so many files only the half is sent. Files named `hang` are
    promised and never sent. credentials: what an Authorization header must hold. meeting: files are sent to so many
    clients at once, never to fewer.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.busy = 0
        self.cut = 0
        self.credentials = ""
        self.meeting = threading.Barrier(1)
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no event."""


class _Handler(SimpleHTTPRequestHandler):
    server: WebServer

    def __init__(self, request: Any, address: Any, server: WebServer) -> None:
        super().__init__(request, address, server, directory=str(server.folder))

    def do_GET(self) -> None:
        if not self._is_refused():
            self._answer()

    def do_PUT(self) -> None:
        if self._is_refused():
            return
        target = Path(self.translate_path(self.path))
        target.write_bytes(b"".join(self._chunks()))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests print nothing."""

    def _answer(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.name == "hang":
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.server.closing.wait()
            return
        if path.is_file():
            self.server.meeting.wait(_START_SECONDS)
        if path.is_file() and self.server.cut > 0:
            self.server.cut -= 1
            data = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
        else:
            super().do_GET()

    def _is_refused(self) -> bool:
        if self.server.busy > 0:
            self.server.busy -= 1
            self.send_error(503)
        elif self.server.credentials and self.headers.get("Authorization") != self.server.credentials:
            self.send_error(401)
        else:
            return False
        return True

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


@contextmanager
def web_server(folder: Path) -> Iterator[WebServer]:
    """A web server in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    with WebServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join(_START_SECONDS)


class SshServer:
    """A running sshd, a home folder that knows it, and a folder of `ssh` and `scp` that use it."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self.home = folder / "ssh_home"
        self.bin = folder / "ssh_bin"
        self.login = f"{getpass.getuser()}@127.0.0.1"
        self.url = f"sftp://{self.login}:{self.port}"
        dot_ssh = self.home / ".ssh"
        dot_ssh.mkdir(parents=True, mode=0o700)
        self.bin.mkdir()
        for name in (dot_ssh / "id_ed25519", folder / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(name)], check=True)
        host_key = (folder / "host_key.pub").read_text()
        (dot_ssh / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        self._write_client(dot_ssh)
        self.process = self._start(folder, dot_ssh)

    def _write_client(self, dot_ssh: Path) -> None:
        config = dot_ssh / "config"
        config.write_text(
            f"Port {self.port}\nIdentityFile {dot_ssh}/id_ed25519\nIdentitiesOnly yes\n"
            # Quick on a machine of two cores.
            "KexAlgorithms curve25519-sha256\n"
            f"UserKnownHostsFile {dot_ssh}/known_hosts\n"
        )
        for name in ("ssh", "scp"):
            # OpenSSH takes the home of the account, whatever HOME says.
            script = self.bin / name
            script.write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F {config} "$@"\n')
            script.chmod(0o755)

    def _start(self, folder: Path, dot_ssh: Path) -> subprocess.Popen[bytes]:
        config = folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
            f"AuthorizedKeysFile {dot_ssh}/id_ed25519.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
            "PasswordAuthentication no\nSubsystem sftp internal-sftp\nMaxStartups 100\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = folder / "sshd.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=file
            )
        _wait(lambda: _answers(self.port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        return process

    def stop(self) -> None:
        """End it, by its own pid; its connections end with their clients."""
        self.process.terminate()
        self.process.wait(_START_SECONDS)


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + _START_SECONDS
    while not is_so():
        assert time.monotonic() < end, "the server does not answer"
        time.sleep(0.02)
