"""`python -m balsam_core` is `balsam`: batch scripts name the Python that submitted them."""

from balsam_core.cli import main

main()
