"""The words of schedulers in docs/schedulers.md are those that the plugins know."""

from __future__ import annotations

import re
from pathlib import Path

from balsam_cobalt.scheduler import _STATES as COBALT
from balsam_core.plugins import BatchState
from balsam_local.scheduler import _STATES as LOCAL
from balsam_pbs.states import _STATES as PBS
from balsam_slurm.fields import _STATES as SLURM

PAGE = Path(__file__).parents[2] / "docs" / "schedulers.md"


def test_the_table_of_words_is_that_of_the_plugins() -> None:
    table = PAGE.read_text().partition("| here | local | slurm | pbs | cobalt |\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    for column, states in enumerate((LOCAL, SLURM, PBS, COBALT), start=1):
        shown = {word: BatchState(row[0]) for row in rows for word in re.findall(r"`(\w+)`", row[column])}
        assert shown == states
