"""What the URLs of staging mean: which way moves their files, and how they are shown without their secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from balsam_core.errors import BalsamError, suggestion
from balsam_core.homes import expanded

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# As scp and rsync have it. An IPv6 address stands in brackets.
_HOST = re.compile(r"(?P<host>[^\s/:@-][^\s/:@]*@(?:\[[^\s\]/@]+\]|[^\s/:@\[\]]+)):(?P<path>(?!//).*)", re.DOTALL)
_CREDENTIALS = re.compile(r"(://[^\s/:@]*):[^\s/]*@")
_TOKEN = re.compile(r"(https?://)[^\s/:@]+@")
_QUERY = re.compile(r"(://[^\s?]*)\?[^\s'\"]+")
# Shorter ones are hidden only where they stand in a URL: they are in many words.
_SHORTEST_SECRET = 4


class StagingError(BalsamError):
    """Files could not be brought in or taken out; the job fails with this message."""


class TransferError(StagingError):
    """A transfer failed; the message names the file and the reason, and whoever asked for it says what for."""


class Way(str, Enum):
    """How files are moved: by this process, by a program over ssh, or by a file system of fsspec."""

    LOCAL = "local"
    SSH = "ssh"
    FSSPEC = "fsspec"


class HostPath(NamedTuple):
    """The parts of `user@host:path`."""

    host: str
    path: str


def way_of(url: str) -> Way:
    """The way for a URL; raises StagingError when there is none."""
    scheme = _SCHEME.match(url)
    if _HOST.fullmatch(url):
        return Way.SSH
    if scheme is None or scheme[1] in {"local", "file"}:
        return Way.LOCAL
    known = _fsspec_schemes()
    if scheme[1] in known and url.startswith("://", scheme.end(1)):
        _check(url)
        return Way.FSSPEC
    if scheme[1] in known:
        raise StagingError(f"cannot stage {shown(url)!r}: write {scheme[1]}://HOST/PATH")
    hint = suggestion(scheme[1], {*known, "local", "file"})
    raise StagingError(
        f"cannot stage {shown(url)!r}: no transfer for {scheme[1]!r} is known; use local:/path, user@host:path "
        f"or a scheme of fsspec{f' ({hint})' if hint.startswith('did') else ''}"
    )


def local_path(url: str) -> Path:
    """The path of a `local:` or `file:` URL, or of a plain absolute path; raises StagingError for a relative one."""
    scheme = _SCHEME.match(url)
    plain = url[scheme.end() :] if scheme else url
    if scheme and scheme[1] == "file":
        plain = plain.removeprefix("//")
    path = expanded(plain)
    if not path.is_absolute():
        raise StagingError(f"cannot stage {url!r}: the path must be absolute, as in local:/path")
    return path


def host_path(url: str) -> HostPath:
    """Host and path of `user@host:path`; the path is relative to the user's home there, or absolute.

    Raises StagingError for a path that names no file or folder.
    """
    found = _HOST.fullmatch(url)
    path = found["path"].removeprefix("~/").rstrip("/") if found else ""
    if found is None or not path.strip("./") or "\n" in path:
        raise StagingError(f"cannot stage {url!r}: name a file or folder, as in user@host:path")
    # A path that begins with a dash would be read as an option there.
    return HostPath(found["host"], f"./{path}" if path.startswith("-") else path)


def shown(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the passwords and queries of URLs in it, and without `secrets`."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _QUERY.sub(r"\1?***", _TOKEN.sub(r"\1***@", _CREDENTIALS.sub(r"\1:***@", text)))


def secrets_of(url: str) -> list[str]:
    """What must not be shown of a URL, wherever it turns up: its password and its query, which may be a signature."""
    if way_of(url) is not Way.FSSPEC:
        return []
    parts = urlsplit(url)
    # Of http a user without a password is a token.
    user = parts.username if parts.scheme.startswith("http") and not parts.password else None
    found = [secret for secret in (user, parts.password, parts.query) if secret and len(secret) >= _SHORTEST_SECRET]
    return list(dict.fromkeys(form for secret in found for form in (secret, unquote(secret))))


def _check(url: str) -> None:
    try:
        urlsplit(url).port  # noqa: B018 - reading it is the check
    except ValueError as error:
        raise StagingError(f"cannot stage {shown(url)!r}: {shown(str(error)).lower()}") from error


def _fsspec_schemes() -> set[str]:
    # Most launchers never stage from elsewhere.
    from fsspec.registry import known_implementations, registry

    return {*known_implementations, *registry} - {"file", "local"}
