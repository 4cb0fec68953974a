"""What is doubtful in a job: it may be added, and fails when it comes to run as it is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from balsam_core.models.job import JobSpec


def doubts(job: JobSpec) -> Iterator[tuple[str, str]]:
    """The fields that make this job fail, each with what is wrong with it."""
    try:
        shlex.split(job.args)
    except ValueError as error:
        yield "args", f"args {job.args!r} cannot be split into words: {str(error).lower()}"
    for field in ("stage_in_url", "stage_out_url"):
        if url := getattr(job, field):
            yield from ((field, wrong) for wrong in _wrong_url(url))


def _wrong_url(url: str) -> Iterator[str]:
    from balsam_core.transitions.urls import StagingError, Way, local_path, way_of

    try:
        if way_of(url) is Way.LOCAL:
            local_path(url)
    except StagingError as error:
        yield str(error)
