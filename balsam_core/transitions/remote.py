"""Files from and to the file systems of fsspec: http, sftp, s3 ..., several at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from balsam_core.transitions.copying import files_below, part_name, whole
from balsam_core.transitions.persistence import Limits, Say, persist
from balsam_core.transitions.urls import StagingError, TransferError, secrets_of, shown

_HTTP = frozenset({"http", "https"})
_SFTP = frozenset({"sftp", "ssh"})
# These show a file while it is written, and rename it at one stroke. The others are stores of objects and http servers,
# which show what they took when it is complete.
_RENAMING = _SFTP | {"ftp", "smb", "hdfs", "webhdfs"}
_NEWS_SECONDS = 10.0


class Item(NamedTuple):
    """A file there, and its name below the folder that it is copied into."""

    path: str
    name: str


class FsspecMover:
    """Moves files by fsspec; every thread has a connection of its own, and a new one after an error."""

    def __init__(self, url: str, limits: Limits, say: Say) -> None:
        self._url = url
        self._scheme = url.partition("://")[0]
        self._limits = limits
        secrets = secrets_of(url)
        self._say: Say = lambda text: say(shown(text, secrets))
        self._own = threading.local()

    def fetch(self, target: Path) -> None:
        """See `staging.Mover`."""
        items = self._persist(shown(self._url), lambda fs, path: list(_find(fs, path, self._scheme)))
        if not items:
            raise TransferError(f"nothing is at {shown(self._url)}")
        self._all(items, self._get, target)

    def deliver(self, found: Sequence[Path]) -> None:
        """See `staging.Mover`."""
        items = [Item(str(file), name) for path in found for file, name in files_below(path)]
        folders = {name.rpartition("/")[0] for _, name in items}
        if self._scheme not in _HTTP:
            self._persist(shown(self._url), lambda fs, path: _make_folders(fs, path, folders))
        self._all(items, self._put, None)

    def _all(self, items: Sequence[Item], work: Callable[..., None], target: Path | None) -> None:
        with ThreadPoolExecutor(self._limits.at_once) as pool:
            futures = [pool.submit(self._one, item, work, target) for item in items]
            try:
                for number, future in enumerate(as_completed(futures), 1):
                    self._say(f"{future.result()} ({number} of {len(items)})")
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, item: Item, work: Callable[..., None], target: Path | None) -> str:
        began = time.monotonic()
        progress = Progress(item.name, self._say)
        self._persist(shown(item.path), lambda fs, path: work(fs, path, item, target, progress))
        return f"{item.name}: {_megabytes(progress.done)} in {time.monotonic() - began:.1f} s"

    def _get(self, fs: Any, _: str, item: Item, target: Path, progress: Progress) -> None:
        with whole(target / item.name) as part:
            fs.get_file(item.path, str(part), callback=progress.callback())
            progress.done = part.stat().st_size

    def _put(self, fs: Any, path: str, item: Item, _: object, progress: Progress) -> None:
        remote = f"{path.rstrip('/')}/{item.name}"
        progress.done = Path(item.path).stat().st_size
        if self._scheme not in _RENAMING:
            more = {"method": "put"} if self._scheme in _HTTP else {}
            fs.put_file(item.path, remote, callback=progress.callback(), **more)
            return
        part = f"{remote.rpartition('/')[0]}/{part_name()}"
        try:
            fs.put_file(item.path, part, callback=progress.callback())
            fs.mv(part, remote)
        except BaseException:
            with suppress(Exception):
                fs.rm_file(part)
            raise

    def _persist(self, what: str, attempt: Callable[[Any, str], Any]) -> Any:
        def once() -> Any:
            try:
                fs, path = self._connection()
                return attempt(fs, path)
            except Exception:
                self._own.__dict__.clear()
                raise

        return persist(what, once, self._limits, self._say)

    def _connection(self) -> tuple[Any, str]:
        if not hasattr(self._own, "opened"):
            self._own.opened = _open(self._url, self._scheme, self._limits.silence_seconds)
        opened: tuple[Any, str] = self._own.opened
        return opened


class Progress:
    """Says now and then how much of a file has been moved."""

    def __init__(self, name: str, say: Say) -> None:
        self.done = 0
        self._name = name
        self._say = say
        self._next = time.monotonic() + _NEWS_SECONDS

    def callback(self) -> Any:
        """For a method of fsspec."""
        from fsspec.callbacks import Callback

        return Callback(hooks={"say": self._update})

    def _update(self, size: int | None, value: int, **_: object) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _NEWS_SECONDS
            self._say(f"{self._name}: {_megabytes(value)}{f' of {_megabytes(size)}' if size else ''}")


def _open(url: str, scheme: str, silence_seconds: float) -> tuple[Any, str]:
    """A file system and the path of the URL in it; raises StagingError when a package is missing."""
    try:
        if scheme in _SFTP:
            from balsam_core.transitions.sftp import open_sftp

            return open_sftp(url, silence_seconds)
        from fsspec.core import url_to_fs

        options = _http_options(silence_seconds) if scheme in _HTTP else {}
        fs, path = url_to_fs(url, skip_instance_cache=True, **options)
        return fs, str(path)
    except ImportError as error:
        words = " ".join(str(error).split())
        raise StagingError(
            f"cannot stage {shown(url)}: {scheme} needs a package that is not installed ({words}); "
            "for http and sftp pip install 'balsam-core[staging]'"
        ) from error


def _http_options(silence_seconds: float) -> dict[str, Any]:
    import aiohttp

    limit = aiohttp.ClientTimeout(total=None, sock_connect=silence_seconds, sock_read=silence_seconds)
    # A file is to arrive byte by byte as it is there, `.gz` files of servers that call this an encoding, too.
    return {
        "client_kwargs": {"timeout": limit, "auto_decompress": False},
        "headers": {"Accept-Encoding": "identity"},
    }


def _find(fs: Any, path: str, scheme: str) -> Iterator[Item]:
    """All files that a path or pattern there names; those of a folder with the folder's name before theirs."""
    for found in _matches(fs, path, scheme):
        above = found.rstrip("/").rpartition("/")[0]
        below = sorted(fs.find(found)) if _is_folder(fs, found, scheme) else [found]
        for one in below:
            name = one.partition("?")[0] if scheme in _HTTP else one
            yield Item(one, _inside(name.removeprefix(above).strip("/"), decode=scheme in _HTTP))


def _matches(fs: Any, path: str, scheme: str) -> list[str]:
    if scheme in _HTTP:
        # A question mark begins a query there.
        return sorted(fs.glob(path)) if "*" in path or "[" in path else [path]
    # A path that is there is meant as it stands, brackets and all.
    path = path.rstrip("/")
    return [path] if path and fs.exists(path) else sorted(fs.glob(path))


def _is_folder(fs: Any, path: str, scheme: str) -> bool:
    return path.endswith("/") if scheme in _HTTP else bool(fs.isdir(path))


def _inside(name: str, *, decode: bool) -> str:
    """A file's name below the target; raises TransferError for one that would lead out of it."""
    parts = [unquote(part) if decode else part for part in name.split("/")]
    if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        raise TransferError(f"{name!r} is no name for a file; name files, a folder or a pattern of them")
    return "/".join(parts)


def _make_folders(fs: Any, path: str, folders: Iterable[str]) -> None:
    for folder in sorted(folders):
        fs.makedirs(f"{path.rstrip('/')}/{folder}".rstrip("/"), exist_ok=True)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
