"""The variables by which users change what Slurm's commands do; ours run without those that would change the answer.

Their names are those in the manual pages of sbatch, squeue, sinfo and scancel, 17.11 to 24.05.
"""

from __future__ import annotations

from collections.abc import Mapping

from balsam_core.plugins import BatchRequest

# A batch job that a filter leaves out looks as if it were gone.
FILTERS_OF_SQUEUE = tuple(f"SQUEUE_{what}" for what in ("ACCOUNT", "LICENSES", "NAMES", "PARTITION", "QOS", "USERS"))
FILTERS_OF_SINFO = ("SINFO_PARTITION",)
# With a filter scancel passes over batch jobs in silence; interactive, it asks without end where nobody can answer.
_OF_SCANCEL = ("ACCOUNT", "BATCH", "FULL", "INTERACTIVE", "NAME", "PARTITION", "QOS", "STATE", "USER", "WCKEY")
OPTIONS_OF_CANCELLING = (*FILTERS_OF_SQUEUE, *(f"SCANCEL_{what}" for what in _OF_SCANCEL))
# To sbatch a variable counts more than a directive: these would make of a script another batch job than was recorded.
_OF_EVERY_SCRIPT = ("ARRAY_INX", "JOB_NAME", "REQUEUE", "SIGNAL", "TIMELIMIT", "WAIT")


def overruled(request: BatchRequest, directives: Mapping[str, object]) -> tuple[str, ...]:
    """The variables for which the script has a directive; directives: as its template is given them."""
    said = {
        "ACCOUNT": request.project,
        str(directives["queue_option"]).removeprefix("--").upper(): request.queue,
        "CONSTRAINT": directives["constraint"],
        "EXCLUSIVE": directives["exclusive"],
        **dict.fromkeys(("GPUS_PER_NODE", "GRES"), directives["gpus"]),
        **dict.fromkeys(("MEM_PER_CPU", "MEM_PER_GPU", "MEM_PER_NODE"), directives["memory"]),
    }
    return tuple(f"SBATCH_{what}" for what in (*_OF_EVERY_SCRIPT, *(what for what, value in said.items() if value)))
