"""`django`, as far as programs written for Balsam 0.5 need it; `import balsam` put it in place."""

from __future__ import annotations

is_balsams_stand_in = True


def setup(set_prefix: bool = True) -> None:
    """Nothing is left to set up."""
