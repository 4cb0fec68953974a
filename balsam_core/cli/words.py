"""Reads a command's arguments as argparse did: abbreviated options, and options of several words."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

_NUMBER = re.compile(r"-\d+(\.\d*)?|-\.\d+")
_LONG = re.compile(r"--[A-Za-z][\w-]*")


class Takes(Enum):
    """What follows an option."""

    NOTHING = "nothing"
    VALUE = "value"
    WORDS = "words"


@dataclass(frozen=True)
class Known:
    """One option of a command: its spellings, and what follows it."""

    names: tuple[str, ...]
    takes: Takes


class WordsError(Exception):
    """The arguments cannot be read; the text is a usage error."""


def canonical(args: Sequence[str], options: Sequence[Known], first: Collection[str] = ()) -> list[str]:
    """The arguments with options spelled out, each value behind its `=`, and positional ones last, after `--`.

    first: the names among which an abbreviation is looked for before all others (Balsam 0.5's own).
    An option of several words takes all up to the next option; a word with a blank is a value even when it starts
    with a dash. Raises WordsError.
    """
    return _Reader(args, options, first).read()


class _Reader:
    def __init__(self, args: Sequence[str], options: Sequence[Known], first: Collection[str]) -> None:
        self._rest = list(args)
        self._by_name = {name: option for option in options for name in option.names}
        self._first = first
        self._options: list[str] = []
        self._positional: list[str] = []

    def read(self) -> list[str]:
        while self._rest:
            word = self._rest.pop(0)
            if word == "--":
                self._positional += self._rest
                break
            if not self._is_option(word):
                self._positional.append(word)
            elif word.startswith("--"):
                self._read_long(word)
            else:
                self._read_short(word)
        return [*self._options, *(["--", *self._positional] if self._positional else [])]

    def _read_long(self, word: str) -> None:
        typed, equals, value = word.partition("=")
        name = self._resolve(typed)
        takes = self._by_name[name].takes
        if takes is Takes.NOTHING:
            # A value given all the same is for click to refuse.
            self._options.append(f"{name}{equals}{value}")
        elif equals:
            self._options.append(f"{name}={value}")
        elif takes is Takes.WORDS:
            self._options.append(f"{name}={self._several_words(name)}")
        else:
            self._options.append(f"{name}={self._one_value(name)}")

    def _read_short(self, word: str) -> None:
        self._options.append(word)
        option = self._by_name.get(word)
        if option is not None and option.takes is not Takes.NOTHING:
            self._options.append(self._one_value(word))

    def _one_value(self, name: str) -> str:
        if not self._rest or self._is_known(self._rest[0]):
            raise WordsError(f"option {name!r} needs a value")
        return self._rest.pop(0)

    def _several_words(self, name: str) -> str:
        words: list[str] = []
        # The first word cannot be the next option when it holds a blank: `--args '--nodes=2 --fast'`.
        while self._rest and (not self._is_option(self._rest[0]) or (not words and " " in self._rest[0])):
            words.append(self._rest.pop(0))
        if self._rest and not self._is_known(self._rest[0]):
            taken = " ".join([*words, self._rest[0]])
            raise WordsError(
                f"{self._unknown(self._rest[0].partition('=')[0])}; "
                f"a value that starts with a dash goes so: {name}='{taken}'"
            )
        if not words:
            raise WordsError(f"option {name!r} needs at least one word; an empty value goes so: {name}=''")
        return " ".join(words)

    def _is_option(self, word: str) -> bool:
        """As argparse decides: a dash first, no negative number, and a blank only behind a known `--name=`."""
        if len(word) < 2 or not word.startswith("-") or _NUMBER.fullmatch(word):
            return False
        return " " not in word or self._is_known(word)

    def _is_known(self, word: str) -> bool:
        if word == "--" or word in self._by_name:
            return True
        head = word.partition("=")[0]
        return bool(_LONG.fullmatch(head) and self._matches(head))

    def _resolve(self, typed: str) -> str:
        matches = self._matches(typed)
        if len({self._by_name[name] for name in matches}) == 1:
            return matches[0]
        if matches:
            raise WordsError(f"option {typed!r} is short for several: {', '.join(sorted(matches))}; give more of it")
        raise WordsError(self._unknown(typed))

    def _unknown(self, typed: str) -> str:
        near = get_close_matches(typed, self._by_name, n=1, cutoff=0.7)
        return f"no such option: {typed}" + (f"; did you mean {near[0]}?" if near else "")

    def _matches(self, typed: str) -> list[str]:
        plain = _plain(typed)
        exact = [name for name in self._by_name if _plain(name) == plain]
        if exact:
            return exact[:1]
        fitting = [name for name in self._by_name if name.startswith("--") and _plain(name).startswith(plain)]
        return [name for name in fitting if name in self._first] or fitting


def _plain(name: str) -> str:
    return name.replace("_", "-")
