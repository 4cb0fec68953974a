"""The private PostgreSQL cluster of a site: its files, its address, how it is made, started and stopped."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import URL

from balsam_core.errors import ConfigError, DatabaseError
from balsam_core.server.binaries import find_binaries
from balsam_core.settings import SiteSettings
from balsam_core.state.hosts import hostname, machine_id, process_clock

OWNER = "balsam"
DATABASE = "balsam"
_START_SECONDS = 60
# `init` reaps at once; the process of a container that takes its place may take a moment.
_REAP_SECONDS = 20
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Address:
    """Where the server was started last, and whether it was stopped in order since."""

    machine: str
    host: str
    port: int
    stopped: bool = False


class Cluster:
    """The cluster in `folder`; making one touches nothing on disk."""

    def __init__(self, folder: Path, settings: SiteSettings, log: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self._settings = settings
        self._log = log
        self._environ = environ

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    @property
    def address_file(self) -> Path:
        """Small, and written anew at each start: clients on other hosts read it when they connect."""
        return self.folder / "address.json"

    def make(self) -> None:
        """Make the files of a new cluster, for its owner alone; raises ConfigError, DatabaseError."""
        self._refuse_root()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (self.data / "PG_VERSION").exists():
            return
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_urlsafe(32), encoding="ascii")
        self._run("initdb", "--auth=scram-sha-256", f"--pwfile={self.password_file}", f"--username={OWNER}",
                  "--encoding=UTF8", "--no-locale")  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as stream:
            stream.write("include 'balsam.conf'\n")

    def start(self) -> Address:
        """Start the server on this host, unless it runs; raises DatabaseError while it may run on another one."""
        self._refuse_root()
        if self.is_running():
            return self.address()
        self._wait_for_leftovers()
        port = _free_port()
        self._write_configuration(port)
        self._run("pg_ctl", "start", "--silent", "--wait", f"--timeout={_START_SECONDS}", f"--log={self._log}")
        address = Address(machine_id(self._environ), _host_for_clients(self._settings.listen), port)
        self._write_address(address)
        return address

    def stop(self) -> bool:
        """Stop the server of this host; False: it did not run."""
        if not self.is_running():
            return False
        self._run("pg_ctl", "stop", "--silent", "--wait", "--mode=fast")
        self._write_address(Address(**{**asdict(self.address()), "stopped": True}))
        return True

    def is_running(self) -> bool:
        """Whether the server runs on this host."""
        # `pg_ctl` also takes a killed server for a running one, for as long as its parent has not reaped it.
        return self._call("pg_ctl", "status").returncode == 0 and process_clock(self._postmaster()) is not None

    def _postmaster(self) -> int:
        """The pid that the server's own file has; 0: there is none."""
        try:
            return int((self.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def _wait_for_leftovers(self) -> None:
        """Let a server that was killed go for good: `pg_ctl` starts none beside it."""
        until = time.monotonic() + _REAP_SECONDS
        while (pid := self._postmaster()) and Path(f"/proc/{pid}").exists() and time.monotonic() < until:
            if process_clock(pid) is not None:  # another program has got the number since
                return
            time.sleep(0.05)

    def left_elsewhere(self) -> Address | None:
        """The last address, when that is another host on which nobody has stopped the server."""
        if not self.address_file.exists():
            return None
        address = self.address()
        return None if address.stopped or address.machine == machine_id(self._environ) else address

    def address(self) -> Address:
        """Where the server was started last; raises DatabaseError when it never was."""
        try:
            return Address(**json.loads(self.address_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise DatabaseError(
                "this site's PostgreSQL server was never started; run `balsam server --connect`"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise DatabaseError(f"cannot read {self.address_file} ({error}); run `balsam server --connect`") from error

    def url(self, database: str = DATABASE) -> URL:
        """The URL of the cluster's database, as the last start has it."""
        address = self.address()
        try:
            password = self.password_file.read_text(encoding="ascii")
        except OSError as error:
            raise DatabaseError(
                f"cannot read {self.password_file}: {error.strerror}; it is its owner's alone"
            ) from error
        query = {"sslmode": "require"} if self._settings.tls_certificate else {}
        return URL.create("postgresql+psycopg", OWNER, password, address.host, address.port, database, query=query)

    def _refuse_root(self) -> None:
        if os.geteuid() == 0:
            raise ConfigError(
                "PostgreSQL does not run as root; do this as an ordinary user, or use an existing server with "
                "`--database postgresql://USER@HOST/DATABASE`, or SQLite"
            )

    def _write_configuration(self, port: int) -> None:
        listen = self._settings.listen
        values = {
            "listen_addresses": ",".join(_own(name) for name in _names(listen)),
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "400",
        }
        values["password_encryption"] = "scram-sha-256"
        if self._settings.tls_certificate:
            values |= {"ssl": "on", "ssl_cert_file": self._settings.tls_certificate}
            values["ssl_key_file"] = self._settings.tls_key
        lines = [f"{key} = {_quoted(value)}\n" for key, value in values.items()]
        (self.data / "balsam.conf").write_text("".join(lines), encoding="utf-8")
        # Never `trust`: whoever connects, from wherever the server listens, shows a password.
        kind = "hostssl" if self._settings.tls_certificate else "host"
        places = ("127.0.0.1/32", "::1/128") if is_loopback(listen) else ("0.0.0.0/0", "::/0")
        rules = [f"{kind} all all {place} scram-sha-256\n" for place in places]
        (self.data / "pg_hba.conf").write_text("".join(rules), encoding="utf-8")

    def _write_address(self, address: Address) -> None:
        fresh = self.address_file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(asdict(address)), encoding="utf-8")
        fresh.replace(self.address_file)

    def _run(self, program: str, *arguments: str) -> None:
        done = self._call(program, *arguments)
        if done.returncode:
            said = " ".join(done.stderr.split()) or " ".join(done.stdout.split())
            raise DatabaseError(f"{program} failed: {said[-500:]}; {self._log} may say more")

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(find_binaries(self._settings.pg_bin, self._environ) / program), *arguments]
        command.append(f"--pgdata={self.data}")
        # The server that pg_ctl leaves behind keeps no pipe of ours open: its output goes to the log.
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def is_loopback(listen: str) -> bool:
    """Whether no other host reaches these addresses."""
    return _LOOPBACK.issuperset(_names(listen))


def _names(listen: str) -> list[str]:
    return [name.strip() for name in listen.split(",") if name.strip()]


def _host_for_clients(listen: str) -> str:
    # An address that other hosts reach comes before the loopback.
    open_ones = [name for name in _names(listen) if name not in _LOOPBACK]
    if not open_ones:
        return "127.0.0.1"
    return hostname() if open_ones[0] in ("*", "0.0.0.0", "::") else _own(open_ones[0])


def _own(name: str) -> str:
    """An address; `hostname` is that of the host where the server starts."""
    return hostname() if name == "hostname" else name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
