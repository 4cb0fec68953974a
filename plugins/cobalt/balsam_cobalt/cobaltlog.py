"""The log that Cobalt writes beside a batch job's output: the only history that it keeps."""

from __future__ import annotations

import re

from balsam_core.plugins import BatchState, BatchStatus

_JOB = re.compile(r"^Jobid: *(\S+)[ \t]*$", re.MULTILINE)
_COMPLETED = re.compile(r"(task completed normally) (with an exit code of (-?[0-9]{1,9}|None))")
# A batch job that Cobalt stops may still log an exit code: that of a launcher which ended as it was told to.
_STOPPED = re.compile(r"(user delete requested|maximum execution time exceeded)([^;\n]*)")
_PREEMPTED = re.compile(r"(job successfully preempted)")


def end_in_log(text: str, job_id: str) -> BatchStatus | None:
    """How the batch job ended; None: the log does not say, or is another's."""
    own = _own_part(text, job_id)
    stopped, completed, preempted = (re.search(kind, own) for kind in (_STOPPED, _COMPLETED, _PREEMPTED))
    exit_code = int(completed[3]) if completed and completed[3] != "None" else None
    if stopped:
        state = BatchState.CANCELLED if "delete" in stopped[1] else BatchState.TIMEOUT
        return BatchStatus(state, stopped[1], reason=stopped[2].strip(), exit_code=exit_code)
    if completed:
        state = BatchState.FAILED if exit_code else BatchState.DONE
        return BatchStatus(state, completed[1], reason=completed[2], exit_code=exit_code)
    return BatchStatus(BatchState.PREEMPTED, preempted[1]) if preempted else None


def _own_part(text: str, job_id: str) -> str:
    """qsub appends to a log that is there already; each part begins with its batch job's id, in newer versions."""
    heads = list(_JOB.finditer(text))
    if not heads:
        return text
    ends = [*(head.start() for head in heads[1:]), len(text)]
    parts = [text[head.end() : end] for head, end in zip(heads, ends, strict=True) if head[1] == job_id]
    return parts[-1] if parts else ""
