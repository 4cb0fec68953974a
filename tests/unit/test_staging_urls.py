"""Which way a URL goes, what is shown of it, and which trouble is worth another try."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from balsam_core.transitions.persistence import Limits, is_final, persist, reason
from balsam_core.transitions.staging import stage_in
from balsam_core.transitions.urls import StagingError, TransferError, Way, host_path, secrets_of, shown, way_of


class Status(Exception):
    """An answer of a web server, as aiohttp raises it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status}")
        self.status = status


@pytest.mark.parametrize(
    ("url", "way"),
    [
        ("local:/a@b:c", Way.LOCAL),
        ("/a/b@c:d", Way.LOCAL),
        ("~/a:b", Way.LOCAL),
        ("file:///a", Way.LOCAL),
        ("me@host:a b/*.dat", Way.SSH),
        ("me@[::1]:/a", Way.SSH),
        ("sftp://me@host:22/a", Way.FSSPEC),
        ("https://host/a?b=c@d:e", Way.FSSPEC),
        ("s3://bucket/a", Way.FSSPEC),
    ],
)
def test_a_url_goes_one_way(url: str, way: Way) -> None:
    assert way_of(url) is way


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("host:/a", "no transfer for 'host' is known; use local:/path, user@host:path or a scheme of fsspec"),
        ("htp://me:geheim@host/a", r"'htp://me:\*\*\*@host/a': .*did you mean 'http'"),
        ("http:/a", "write http://HOST/PATH"),
        ("http://[::1/a", "cannot stage"),
        ("http://me:geheim@host:port/a", "port"),
        ("-oProxyCommand=x@host:/a", "the path must be absolute"),
    ],
)
def test_a_url_that_goes_no_way_is_named_without_its_secrets(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(StagingError, match=words) as failed:
        stage_in(tmp_path, url=url, patterns="", parents={})
    assert "geheim" not in str(failed.value)


def test_a_path_on_another_host_begins_at_home_or_at_the_top() -> None:
    paths = ["/a/b/", "a b", "~/a", "-x", "a:b"]
    assert [host_path(f"me@host:{path}").path for path in paths] == ["/a/b", "a b", "a", "./-x", "a:b"]
    assert host_path("me@[::1]:/a").host == "me@[::1]"
    for path in ("", "/", ".", "~/", "a\nb"):
        with pytest.raises(StagingError, match="name a file or folder"):
            host_path(f"me@host:{path}")


def test_passwords_tokens_and_queries_are_not_shown() -> None:
    assert shown("no http://me:p@ss@host/a?sig=1 here") == "no http://me:***@host/a?*** here"
    text = "https://token@host/b, sftp://me@host/c; s3://k:s@b 'x://h/?q'"
    assert shown(text) == "https://***@host/b, sftp://me@host/c; s3://k:***@b 'x://h/?***'"


def test_the_secrets_of_a_url_are_found_wherever_they_turn_up() -> None:
    secrets = secrets_of("http://me:ge%20heim@host/a?sig=a%2Fb")
    assert shown("no: ge heim, ge%20heim, sig=a/b, sig=a%2Fb", secrets) == "no: ***, ***, ***, ***"
    assert (secrets_of("https://token@host/a"), secrets_of("sftp://user@host/a")) == (["token"], [])
    assert secrets_of("sftp://user:abc@host/a") == [], "it is a part of many words"


def test_only_trouble_that_may_pass_is_worth_another_try() -> None:
    final = [FileNotFoundError("x"), PermissionError(), ValueError(), Status(401), Status(404)]
    passing = [ConnectionError(), TimeoutError(), OSError(5, "io"), Status(429), Status(503), RuntimeError()]
    assert [is_final(error) for error in final + passing] == [True] * len(final) + [False] * len(passing)


def test_a_try_that_works_ends_the_trying_and_one_too_many_names_the_file() -> None:
    said: list[str] = []
    limits = Limits(retries=2, pause_seconds=0)
    troubles = iter([OSError(5, "Gone"), TimeoutError(), None, *[OSError(5, "Gone")] * 3])

    def attempt() -> str:
        if error := next(troubles):
            raise error
        return "done"

    assert persist("a.dat", attempt, limits, said.append) == "done"
    assert said == ["a.dat: gone; trying again in 0 s", "a.dat: no answer in time; trying again in 0 s"]
    with pytest.raises(TransferError, match=r"a\.dat: gone"):
        persist("a.dat", attempt, limits, said.append)


def test_the_reason_of_a_library_is_one_line() -> None:
    assert reason(Status(404)) == "404 (Status)"
    assert reason(RuntimeError("two\n  lines")) == "two lines (RuntimeError)"
    assert reason(RuntimeError()) == "RuntimeError"


@pytest.mark.parametrize(
    ("url", "package", "loaded"),
    [
        ("http://host/a", "aiohttp", ""),
        ("sftp://host/a", "paramiko", "balsam_core.transitions.sftp"),
        ("s3://bucket/a", "s3fs", ""),
    ],
)
def test_a_package_that_is_missing_is_named_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, package: str, loaded: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, loaded, raising=False)
    with pytest.raises(StagingError, match=rf"cannot stage {url}: .* needs a package .*{package}.* pip install"):
        stage_in(tmp_path, url=url, patterns="", parents={})
