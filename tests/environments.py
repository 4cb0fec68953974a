"""Environments of Python for tests of plugins that are no part of balsam-core."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def environment_with(folder: Path, *plugins: Path) -> Path:
    """A fresh environment in `folder` that sees balsam-core where it is, with plugins installed; its interpreter."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    python = folder / "bin" / "python"
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "balsam_core.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    source = folder / "source"
    source.mkdir()
    run("cp", "-r", *map(str, plugins), str(source))
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", str(python), "install", *options, *map(str, source.iterdir()))
    return python


def run(*argv: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command that ended with exit code 0."""
    env = {**os.environ, **environ}
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=100, cwd=cwd, env=env)
