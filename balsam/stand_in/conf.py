"""`django.conf`: the settings under the names of Balsam 0.5."""

from __future__ import annotations

from balsam.core.settings import settings

__all__ = ["settings"]
