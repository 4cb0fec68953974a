"""What Slurm's commands say when they do not do what was asked, and which error that is."""

from __future__ import annotations

import re

from balsam_core.plugins import CommandResult, SchedulerError, SchedulerNotUnderstood, SchedulerUnavailable

# slurm/src/common/slurm_errno.c of 17.11 to 24.05: what is said when slurmctld, slurmdbd, munge or the network between
# do not answer. A command that is told so has done nothing, or it is not known what it has done.
_NO_ANSWER = re.compile(
    r"unable to contact slurm controller|unable to establish|socket timed out|connection (refused|timed out|reset)"
    r"|connect failure|zero bytes were transmitted|communications? (connection|shutdown|receive|send|message)"
    r"|message (receive|send) failure|transport endpoint|no route to host|network is unreachable"
    r"|standby mode|temporarily unable|resource temporarily unavailable|rate limit|problem talking to (the )?database"
    r"|slurmdbd|slurm_persist_conn|authentication|munge|unable to (process|read) configuration|cannot stat file"
    r"|could not establish a configuration source|dns srv lookup failed",
    re.IGNORECASE,
)
_NO_SUCH_JOB = re.compile(r"invalid job id specified", re.IGNORECASE)
_PREFIX = re.compile(r"(?:sbatch|squeue|scancel|sacct|scontrol): (?:error: |fatal: )?|slurm_load_jobs error: ")


def is_unavailable(result: CommandResult) -> bool:
    """Whether the command says that Slurm did not answer; a banner that speaks of authentication does not count."""
    return bool(_NO_ANSWER.search(own_words(result)))


def is_no_such_job(text: str) -> bool:
    """Whether the answer is that Slurm knows no such batch job (any more)."""
    return bool(_NO_SUCH_JOB.search(text))


def own_words(result: CommandResult) -> str:
    """What the command said, in one line and without its name; a site's banner is left out where it can be told."""
    lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    said = [line for line in lines if _PREFIX.match(line)] or lines
    words = "; ".join(dict.fromkeys(_PREFIX.sub("", line, count=1) for line in said))
    return words or f"{result.argv[0]} ended with exit code {result.returncode} and said nothing"


def not_answered(result: CommandResult) -> SchedulerError:
    """The error for a result that holds no answer."""
    if is_unavailable(result):
        return SchedulerUnavailable(own_words(result))
    raw = result.stdout + result.stderr
    return SchedulerNotUnderstood(f"the answer of {result.argv[0]} cannot be read: {own_words(result)}", raw)
