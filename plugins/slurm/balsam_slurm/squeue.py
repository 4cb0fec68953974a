"""The table of squeue: batch jobs that wait, run, or ended a few minutes ago (MinJobAge in slurm.conf)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from balsam_core.plugins import BatchState, BatchStatus
from balsam_slurm.fields import FINAL, count_in, exit_code_in, seconds_in, state_of, text_in
from balsam_slurm.ids import ROW_ID, Row, Table, cluster_words, number_of

# Fields have fixed widths, for reasons and names may hold blanks, names anything; --Format knows no separator before
# 20.02. The long --Format, because the short one has no exit code.
_WIDTHS = {"jobarrayid": 80, "state": 32, "exit_code": 16, "numnodes": 16, "timeleft": 24, "QUEUE": 80}
_REASON_AND_NAME = {"reason": 200, "name": 200}
_STARTS = tuple(accumulate([0, *_WIDTHS.values(), _REASON_AND_NAME["reason"]]))
_HEADER = re.compile(r"JOBID\s+STATE\s")
_CLUSTER = re.compile(r"CLUSTER: (\S+)\s*\Z")
_STATE = re.compile(r"[A-Z][A-Z_]*\Z")
_RUNS = frozenset({BatchState.STARTING, BatchState.RUNNING, BatchState.SUSPENDED})


def squeue_words(queue_is: str) -> tuple[str, ...]:
    """The command without what it asks for; --states=all shows those that ended, too."""
    fields = {**_WIDTHS, **_REASON_AND_NAME}
    wanted = ",".join(f"{queue_is if name == 'QUEUE' else name}:{width}" for name, width in fields.items())
    return ("squeue", "--states=all", f"--Format={wanted}")


def squeue_of(ids: Sequence[str], queue_is: str) -> tuple[str, ...]:
    """The command that asks for `ids`."""
    numbers = ",".join(map(number_of, ids))
    return (*squeue_words(queue_is), *cluster_words(ids), f"--jobs={numbers}")


def read_squeue(text: str) -> Table | None:
    """The rows after the table's header; None: there is no table. Lines before it are a banner."""
    rows, unreadable, cluster, has_begun = [], [], None, False
    for line in text.splitlines():
        if section := _CLUSTER.match(line):
            cluster = section[1]
        elif _HEADER.match(line):
            has_begun = True
        elif has_begun and line.strip():
            row = _row(line, cluster)
            if row is None:
                unreadable.append(line)
            else:
                rows.append(row)
    return Table(tuple(rows), tuple(unreadable)) if has_begun else None


def _row(line: str, cluster: str | None) -> Row | None:
    ends = (*_STARTS[1:], None)
    number, word, code, nodes, left, queue, reason, name = (
        line[start:end].strip() for start, end in zip(_STARTS, ends, strict=True)
    )
    # A line that ends before its name was cut short, and so may any of its fields be.
    if not ROW_ID.match(number) or not _STATE.match(word) or not name:
        return None
    state = state_of(word, reason)
    status = BatchStatus(
        state,
        word,
        name=name,
        reason=text_in(reason),
        exit_code=exit_code_in(code) if state in FINAL else None,
        seconds_left=seconds_in(left) if state in _RUNS else None,
        queue=text_in(queue) or None,
        nodes=count_in(nodes),
    )
    return Row(number, cluster, status, line)
