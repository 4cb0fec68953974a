"""What docs/concepts.md says of states is what the state machine has."""

from __future__ import annotations

import re
from pathlib import Path

from balsam_core.state.machine import AUTOMATIC
from docs import diagram

DOCS = Path(__file__).parents[2] / "docs"
_ROW = re.compile(r"^\| ([A-Z_]+) \| ([A-Z_]+) \| \S", re.MULTILINE)


def test_the_diagram_is_drawn_from_the_table_of_moves() -> None:
    assert diagram.FILE.read_text() == diagram.drawing(), "draw it anew: python docs/diagram.py"


def test_the_table_has_every_automatic_move_once() -> None:
    rows = _ROW.findall((DOCS / "concepts.md").read_text())
    moves = [(str(origin), str(target)) for origin, targets in AUTOMATIC.items() for target in targets]
    assert sorted(rows) == sorted(moves)
