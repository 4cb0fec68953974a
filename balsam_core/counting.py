"""How many there may be of a thing, and how that is said."""

from __future__ import annotations

# PostgreSQL's integers end there.
MOST = 2_147_483_647
# 30 years, which every clock can count.
MOST_SECONDS = 1_000_000_000


def counted(count: int, noun: str) -> str:
    """`1 job`, `2 jobs`, `2 dependencies`."""
    plural = f"{noun.removesuffix('y')}ies" if noun.endswith("cy") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
