"""The section [pbs] of settings.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from balsam_core.plugins import PluginSettings

_Word = Annotated[str, Field(pattern=r"^\S*$")]
_Line = Annotated[str, Field(pattern=r"^[^\r\n]+$")]


class PbsSettings(PluginSettings):
    """select: what each chunk of `-l select=N` asks for beside its count, as in `ncpus=64:ngpus=4`. place: how the
    chunks lie; empty: the server's default. filesystems: those that the job needs, as in `home:eagle`; empty: not
    asked for. resources: one `-l` each. options: one line of `#PBS` each. pals: the mpiexec of the launcher `pals`.
    """

    select: _Word = ""
    place: _Word = "scatter:excl"
    filesystems: _Word = ""
    resources: tuple[Annotated[str, Field(pattern=r"^\S+$")], ...] = ()
    options: tuple[_Line, ...] = ()
    pals: Annotated[str, Field(min_length=1)] = "mpiexec"
