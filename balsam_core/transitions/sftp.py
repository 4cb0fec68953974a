"""Files over SFTP, from and to hosts that the user knows; needs paramiko."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.sftp import SFTPFileSystem

from balsam_core.transitions.urls import TransferError

# Without a bound, all that the disk cannot take at once is kept in memory.
_REQUESTS_AHEAD = 64


class KnownHostsSftp(SFTPFileSystem):  # type: ignore[misc]  # fsspec is not typed
    """As fsspec has it, but a host whose key is not in the user's known_hosts is refused, and a silence ends."""

    def _connect(self) -> None:
        silence = self.ssh_kwargs["timeout"]
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            self.client.connect(self.host, **self.ssh_kwargs)
        except (paramiko.AuthenticationException, paramiko.BadHostKeyException) as error:
            raise TransferError(f"{self.host}: {error}; try `ssh` to it") from error
        except paramiko.SSHException as error:
            if "known_hosts" not in str(error):
                raise
            raise TransferError(f"{self.host} is no known host; connect to it once by `ssh`") from error
        self.ftp = self.client.open_sftp()
        self.ftp.get_channel().settimeout(silence)

    def get_file(self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **_: object) -> None:
        """Copy one file here."""
        self.ftp.get(rpath, lpath, _progress(callback), max_concurrent_prefetch_requests=_REQUESTS_AHEAD)

    def put_file(self, lpath: str, rpath: str, callback: Any = DEFAULT_CALLBACK, **_: object) -> None:
        """Copy one file there, into a folder that exists."""
        self.ftp.put(lpath, rpath, _progress(callback))


def open_sftp(url: str, silence_seconds: float) -> tuple[KnownHostsSftp, str]:
    """A connection of its own, and the path of the URL there, taken as it stands."""
    parts = urlsplit(url)
    path = url.partition("://")[2].removeprefix(parts.netloc)
    options: dict[str, object] = dict.fromkeys(("banner_timeout", "auth_timeout", "channel_timeout"), silence_seconds)
    # It must not be over before that of the banner: paramiko would go on, and say that there is no session.
    options["timeout"] = silence_seconds + 1
    if parts.username:
        options["username"] = unquote(parts.username)
    if parts.password:
        options["password"] = unquote(parts.password)
    if parts.port:
        options["port"] = parts.port
    return KnownHostsSftp(parts.hostname or "", skip_instance_cache=True, **options), path


def _progress(callback: Any) -> Callable[[int, int], None]:
    def show(done: int, size: int) -> None:
        callback.set_size(size)
        callback.absolute_update(done)

    return show
