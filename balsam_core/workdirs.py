"""Where the working directory of a job lies, and its output in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from balsam_core.homes import expanded
from balsam_core.models.job import Job, safe_folder


@dataclass(frozen=True)
class Workdirs:
    """The data folder of a site; job folders lie in it as `<workflow>/<name>_<first 8 of the id>`."""

    data: Path

    def of(self, job: Job) -> Path:
        """A job's own working directory."""
        return self.at(job.user_workdir, job.folder)

    def at(self, user_workdir: str, folder: str) -> Path:
        """The directory that the user chose, or the job's folder; relative to the data folder."""
        # The folder as it stands: a workflow may be called `~`.
        return self.data / (expanded(user_workdir) if user_workdir else folder)

    def output_of(self, job: Job) -> Path:
        """The file that gets what a job prints, attempt after attempt."""
        return self.of(job) / output_name(job)


def result_name(job: Job) -> str:
    """The name of the file there that gets what its function returns, when that is JSON."""
    return f"{safe_folder(job.name)}.result.json"


def output_name(job: Job) -> str:
    """The name of that file in the working directory."""
    return f"{safe_folder(job.name)}.out"
