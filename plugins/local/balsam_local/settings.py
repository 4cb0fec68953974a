"""The section [local] of settings.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from balsam_core.plugins import PluginSettings


class LocalSettings(PluginSettings):
    """virtual_nodes: plays this many nodes on one host; 0: the host is one node.

    queue_path: the folder of the queue of batch jobs, on a disk of this host; sites may share it.
    kill_grace_seconds: between the SIGTERM that ends a batch job and SIGKILL.
    """

    virtual_nodes: Annotated[int, Field(ge=0, le=10_000)] = 0
    queue_path: str = "~/.balsam/queue"
    kill_grace_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0

    @field_validator("queue_path")
    @classmethod
    def _is_the_same_everywhere(cls, value: str) -> str:
        if not value.startswith(("/", "~")):
            raise ValueError("should begin with / or ~: commands run in many folders")
        return value
