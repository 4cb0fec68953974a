"""`django.db.models.query`: the class of what `BalsamJob.objects.filter(...)` gives, for `isinstance`."""

from __future__ import annotations

from balsam.core.query import QuerySet

__all__ = ["QuerySet"]
