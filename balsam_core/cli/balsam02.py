"""Command lines of Balsam 0.2 that 0.5 no longer had, in the words of today, so that old scripts work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

_DATABASES = {"postgres": "postgresql", "sqlite3": "sqlite"}
_SERVER_ACTIONS = {"--start": "--connect"}


def current_words(words: Sequence[str]) -> list[str]:
    """The arguments of `balsam`, with what Balsam 0.2 called otherwise under its name of today."""
    renew = _RENEWED.get(words[0]) if words else None
    return renew(words[1:]) if renew else list(words)


def _modify(words: Sequence[str]) -> list[str]:
    """`modify jobs ID --attr state --value READY` is `modify ID state READY --type jobs`."""
    match [word for typed in words for word in _split(typed, "--attr", "--value")]:
        case ["jobs" | "apps" as kind, part, "--attr", field, "--value", value]:
            return ["modify", "--type", kind, "--", part, field, value]
    return ["modify", *words]


def _init(words: Sequence[str]) -> list[str]:
    """`init PATH --db-type postgres` is `init PATH --database postgresql`."""
    split = [word for typed in words for word in _split(typed, "--db-type")]
    match split:
        case [*before, "--db-type", kind] | ["--db-type", kind, *before]:
            return ["init", *before, "--database", _DATABASES.get(kind, kind)]
    return ["init", *words]


def _dbserver(words: Sequence[str]) -> list[str]:
    """`dbserver [--start | --stop | --reset PATH]` is `server`; PATH is the site that it works on anyway."""
    action = words[0] if words else "--start"
    more = words[2:] if action == "--reset" else words[1:]
    return ["server", _SERVER_ACTIONS.get(action, action), *more]


def _split(word: str, *options: str) -> list[str]:
    name, equals, value = word.partition("=")
    return [name, value] if equals and name in options else [word]


_RENEWED: Mapping[str, Callable[[Sequence[str]], list[str]]] = {
    "modify": _modify,
    "init": _init,
    "dbserver": _dbserver,
}
