"""The older path of `balsam.core.models`, from Balsam 0.2."""

from __future__ import annotations

from balsam.core import models as _models
from balsam.core.models import *  # noqa: F403 the same names, whatever they are

__all__ = _models.__all__
