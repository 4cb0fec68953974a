"""`python -m balsam_core` is `balsam`: batch scripts name the Python that submitted them."""

import sys

from balsam_core.cli import main

sys.exit(main())
