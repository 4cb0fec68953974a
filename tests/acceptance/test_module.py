"""`python -m balsam_core`, as batch scripts start the launcher."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("words", "code"), [(("--version",), 0), (("ls",), 1), (("lss",), 2)])
def test_the_module_ends_with_the_exit_code_of_the_command(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    command = [sys.executable, "-m", "balsam_core", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
