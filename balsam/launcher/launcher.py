"""The launcher under Balsam 0.5's path: `python .../balsam/launcher/launcher.py --consume-all` is `balsam launcher`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a launcher with the options of `balsam launcher`; its exit code."""
    from balsam_core.cli import main as command_line

    return command_line(["launcher", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
