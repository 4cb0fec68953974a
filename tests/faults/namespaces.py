"""What root can make for one test: a network whose link can be cut, and a small disk that can be full.

The network is a namespace that ends with the process that holds it; the host's end of the link goes with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.integration.launching import wait_until

_MEGABYTE = 1 << 20


@cache
def why_not() -> str:
    """Why these cannot be made here; empty: they can."""
    if os.geteuid() != 0:
        return "only root makes networks and mounts disks"
    with contextlib.suppress(FileNotFoundError):
        for command in (["unshare", "-m", "-n", "ip", "link", "show", "lo"], ["nsenter", "--version"]):
            if subprocess.run(command, capture_output=True, check=False).returncode:
                return f"{' '.join(command)} fails here"
        return ""
    return "no unshare, nsenter or ip here (util-linux, iproute2)"


needs_namespaces = pytest.mark.skipif(bool(why_not()), reason=why_not())


class Network:
    """A network namespace with a loopback of its own; `prefix` goes before a command that is to run in it."""

    def __init__(self, holder: int) -> None:
        self._holder = holder
        self.prefix = ["nsenter", "--net", f"--target={holder}"]
        _run(*self.prefix, "ip", "link", "set", "lo", "up")
        # Names of devices have at most 15 characters.
        self._link = f"bf{holder}"
        network = f"10.213.{holder % 250}"
        self.host = f"{network}.1"
        _run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "up0", "netns", str(holder))
        _run("ip", "address", "add", f"{self.host}/30", "dev", self._link)
        _run("ip", "link", "set", self._link, "up")
        _run(*self.prefix, "ip", "address", "add", f"{network}.2/30", "dev", "up0")
        _run(*self.prefix, "ip", "link", "set", "up0", "up")

    def cut(self) -> None:
        """From now on nothing passes between this network and the host."""
        _run("ip", "link", "set", self._link, "down")

    def cut_loopback(self) -> None:
        """From now on nothing passes between the processes of this network."""
        _run(*self.prefix, "ip", "link", "set", "lo", "down")

    def mend_loopback(self) -> None:
        """It passes again."""
        _run(*self.prefix, "ip", "link", "set", "lo", "up")

    @contextmanager
    def relay(self, port: int) -> Iterator[int]:
        """Carries what comes to a port of the host's end of the link to a port of the host's own loopback."""
        with socket.create_server((self.host, 0)) as server:
            threading.Thread(target=_serve, args=(server, port), daemon=True).start()
            yield int(server.getsockname()[1])
            server.shutdown(socket.SHUT_RDWR)


class Disk:
    """A small disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filling = folder / "filling"

    def take(self, *places: Path) -> None:
        """Move these files or folders onto the disk; links stay behind."""
        for place in places:
            shutil.move(place, self.folder)
            place.symlink_to(self.folder / place.name)

    def fill(self) -> None:
        """Leave no room."""
        with self._filling.open("ab", buffering=0) as file:
            for size in (_MEGABYTE, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def empty(self) -> None:
        """Make room again."""
        self._filling.unlink()


@contextmanager
def network() -> Iterator[Network]:
    """A network namespace, for one test."""
    with subprocess.Popen(["unshare", "--net", "sleep", "600"]) as holder:
        try:
            own = Path("/proc/self/ns/net").readlink()
            wait_until(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != own)
            yield Network(holder.pid)
        finally:
            holder.kill()


@contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[Disk]:
    """A disk of that size in a new folder, for one test."""
    folder.mkdir()
    # Not in a namespace: SQLite follows links by itself, and so finds no way through /proc/PID/root.
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "balsam", str(folder))
    try:
        yield Disk(folder)
    finally:
        _run("umount", "--lazy", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _serve(server: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            there, _ = server.accept()
            here = socket.create_connection(("127.0.0.1", port))
            for source, sink in ((there, here), (here, there)):
                threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError as error:
        if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.EBADF, errno.ENOTCONN):
            raise
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
