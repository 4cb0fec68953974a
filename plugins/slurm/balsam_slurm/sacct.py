"""The table of sacct: how batch jobs ended, where Slurm keeps accounts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from balsam_core.plugins import BatchStatus
from balsam_slurm.fields import FINAL, count_in, exit_code_in, state_of, text_in
from balsam_slurm.ids import ROW_ID, Row, Table, cluster_words, number_of

_FIELDS = "JobID,Cluster,State,ExitCode,NNodes,QUEUE,JobName"
_HEADER = re.compile(r"JobID\|Cluster\|State\|")
_STATE = re.compile(r"[A-Z][A-Z_]*( by \d+)?\Z")


def sacct_of(ids: Sequence[str], queue_is: str) -> tuple[str, ...]:
    """The command that asks for `ids`, without their steps; the last field is the one that may hold a `|`."""
    fields = _FIELDS.replace("QUEUE", queue_is)
    numbers = ",".join(map(number_of, ids))
    return ("sacct", "--allocations", "--parsable2", f"--format={fields}", *cluster_words(ids), f"--jobs={numbers}")


def read_sacct(text: str) -> Table | None:
    """The rows after the table's header; None: there is no table. Lines before it are a banner."""
    rows, unreadable, has_begun = [], [], False
    for line in text.splitlines():
        if _HEADER.match(line):
            has_begun = True
        elif has_begun and line.strip():
            row = _row(line)
            if row is None:
                unreadable.append(line)
            else:
                rows.append(row)
    return Table(tuple(rows), tuple(unreadable)) if has_begun else None


def _row(line: str) -> Row | None:
    cells = line.split("|", _FIELDS.count(","))
    if len(cells) <= _FIELDS.count(",") or not ROW_ID.match(cells[0]) or not _STATE.match(cells[2]):
        return None
    number, cluster, words, code, nodes, queue, name = cells
    word, _, who = words.partition(" ")
    state = state_of(word)
    status = BatchStatus(
        state,
        word,
        name=name or None,
        reason=words if who else "",
        exit_code=exit_code_in(code) if state in FINAL else None,
        queue=text_in(queue) or None,
        nodes=count_in(nodes),
    )
    return Row(number, cluster or None, status, line)
