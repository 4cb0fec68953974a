"""Runs one call of a Python function as a job: `python -m balsam_core.call FOLDER`, the folder with the call's files.

The exit code is 1 when the function raised; the traceback is in the output of the job, and in the file of the result.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from uuid import UUID

from balsam_core.api.calls import CallFiles


def main(folder: str) -> int:
    """Run the call of the job that this process is; its exit code."""
    files = CallFiles(Path(folder), UUID(os.environ["BALSAM_JOB_ID"]))
    files.remove_result()
    try:
        function, args, kwargs = files.read_call()
        files.write_value(function(*args, **kwargs))
    except BaseException as error:
        # The frame of this function says nothing about the call.
        error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(error)
        files.write_error(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
