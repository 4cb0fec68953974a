"""The section [slurm] of settings.toml."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from balsam_core.plugins import PluginSettings

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _one_word(value: str) -> str:
    if re.search(r"\s", value) or _CONTROL.search(value):
        raise ValueError("should be one word")
    return value


def _option(value: str) -> str:
    if not value.startswith("-") or _CONTROL.search(value):
        raise ValueError("should be one line that starts with '-', as in --licenses=scratch")
    return value


Word = Annotated[str, AfterValidator(_one_word)]
Option = Annotated[str, AfterValidator(_option)]


class SlurmSettings(PluginSettings):
    """What batch jobs ask of Slurm, and how srun is called; an empty text leaves the option out.

    queue_is: what the site's queues are in Slurm. constraint: features of nodes. gpus_per_node: when a batch job does
    not say; gpus_by: the option that asks for them. exclusive: whole nodes. memory: of each node, as --mem takes it;
    empty: all that a whole node has, else Slurm's default. options: further directives. accounting: whether sacct is
    asked how batch jobs ended. overlap: srun's --overlap, which Slurm has since 20.11. mpi_type: srun's --mpi. bind:
    whether srun binds ranks.
    """

    queue_is: Literal["partition", "qos"] = "partition"
    constraint: Word = ""
    gpus_per_node: Annotated[int, Field(ge=0)] | None = None
    gpus_by: Literal["gpus-per-node", "gres"] = "gpus-per-node"
    exclusive: bool = True
    memory: Word = ""
    options: tuple[Option, ...] = ()
    accounting: bool = True
    overlap: bool = True
    mpi_type: Word = ""
    bind: bool = True
