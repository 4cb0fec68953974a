"""The import paths `balsam.launcher.*` of Balsam 0.5."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    # `async` is a keyword now: programs get the older name of `futures` by getattr.
    if name == "async":
        return import_module("balsam.launcher.async")
    raise AttributeError(f"module 'balsam.launcher' has no attribute {name!r}")
