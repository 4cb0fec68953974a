"""The plugin `webhook`: its settings, and the events that it passes on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated

from pydantic import Field

from balsam_core.plugins import BatchEvent, JobEvent, PluginSettings, hookimpl
from balsam_webhook.post import Hook
from balsam_webhook.watch import Watch


class WebhookSettings(PluginSettings):
    """[webhook]: url: who is told; empty: nobody. failures: of one application in a row that are worth telling.
    interval_seconds: how often the database is asked, at most. timeout_seconds: how long the server may take."""

    url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    failures: Annotated[int, Field(ge=1)] = 3
    interval_seconds: Annotated[float, Field(gt=0)] = 2.0
    timeout_seconds: Annotated[float, Field(gt=0)] = 5.0


@hookimpl
def balsam_settings() -> type[WebhookSettings]:
    return WebhookSettings


@hookimpl
def balsam_job_events(events: Sequence[JobEvent], settings: WebhookSettings) -> None:
    if settings.url:
        _watch(settings).hear_of_jobs(events)


@hookimpl
def balsam_batch_events(events: Sequence[BatchEvent], settings: WebhookSettings) -> None:
    if settings.url:
        _watch(settings).hear_of_batch_jobs(events)


@cache
def _watch(settings: WebhookSettings) -> Watch:
    """The one of this process, made by its first event."""
    hook = Hook(settings.url, settings.timeout_seconds)
    return Watch(hook, failures=settings.failures, interval_seconds=settings.interval_seconds)
