"""The section [cobalt] of settings.toml."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from balsam_core.plugins import PluginSettings

# In `--attrs a=1:b=2` these end a name or a value; qsub splits directives at blanks and knows no quotes.
_SEPARATOR = re.compile(r"[\s:=\x00-\x1f\x7f]")


def _text(value: object) -> object:
    """Numbers and truth values as Cobalt writes them."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _word(value: str) -> str:
    if not value or _SEPARATOR.search(value):
        raise ValueError(f"{value!r} cannot stand in --attrs; write it without blanks, ':' and '='")
    return value


def _file_system(value: str) -> str:
    if "," in value:
        raise ValueError(f"{value!r} is more than one file system; write a list")
    return _word(value)


Word = Annotated[str, BeforeValidator(_text), AfterValidator(_word)]
FileSystem = Annotated[str, AfterValidator(_file_system)]


class CobaltSettings(PluginSettings):
    """attrs: for `qsub --attrs`, by name. filesystems: those that a batch job needs, one more of the attrs."""

    attrs: dict[Word, Word] = Field(default={})
    filesystems: tuple[FileSystem, ...] = ()

    @model_validator(mode="after")
    def _file_systems_once(self) -> CobaltSettings:
        if self.filesystems and "filesystems" in self.attrs:
            raise ValueError("attrs and filesystems both say which file systems; remove one")
        return self

    @property
    def attrs_word(self) -> str:
        """All of them as one word: `mcdram=cache:filesystems=home,theta-fs0`; empty: there are none."""
        systems = {"filesystems": ",".join(self.filesystems)} if self.filesystems else {}
        return ":".join(f"{name}={value}" for name, value in {**self.attrs, **systems}.items())
