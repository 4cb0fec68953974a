"""Runs one call of `BalsamExecutor` as a job: the function `balsam_core.call:run`, with the folder of the call's files.

The exit code is 1 when the function raised; the traceback is in the output of the job, and in the file of the result.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import UUID

import cloudpickle  # noqa: F401 - a process that makes many calls has it from the start

from balsam_core.api.calls import CallFiles
from balsam_core.function import print_traceback


def main(folder: str) -> int:
    """Run the call of the job that this process is; its exit code."""
    files = CallFiles(Path(folder), UUID(os.environ["BALSAM_JOB_ID"]))
    files.remove_result()
    try:
        function, args, kwargs = files.read_call()
        files.write_value(function(*args, **kwargs))
    except BaseException as error:
        print_traceback(error)
        files.write_error(error)
        return 1
    return 0


def run(folder: str) -> None:
    """As an application names it."""
    sys.exit(main(folder))
