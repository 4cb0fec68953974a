"""A plugin of somebody else: installed as its own distribution beside balsam-core, and used from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

FLUX = Path(__file__).parents[2] / "examples" / "balsam-plugin-flux"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that sees balsam-core where it is, with the plugin installed into it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "balsam_core.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    source = folder / "source"
    run("cp", "-r", str(FLUX), str(source))
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", *options, str(source))
    return folder


def run(*argv: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environ}
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=100, cwd=cwd, env=env)


def test_its_own_tests_pass_there(environment: Path) -> None:
    python = str(environment / "bin" / "python")
    done = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(environment / "source" / "tests"))
    assert "passed" in done.stdout


def test_it_is_listed_checked_and_selected_by_name(environment: Path, tmp_path: Path) -> None:
    python = str(environment / "bin" / "python")

    def balsam(*words: str) -> str:
        return run(python, "-m", "balsam_core", *words, cwd=tmp_path, HOME=str(tmp_path)).stdout

    assert "balsam-plugin-flux | 0.1.0" in balsam("plugin", "ls")
    assert "0 failed" in balsam("plugin", "check", "flux")
    balsam("init", "site")
    settings = tmp_path / "site" / "settings.toml"
    text = settings.read_text().replace("# same_host = true", "same_host = true")
    settings.write_text(text + '\n[flux]\nattributes = ["system.a=1"]\n')
    words = ("-n", "2", "-t", "30", "--scheduler", "flux", "--mpi", "flux-run", "--dry-run")
    script = run(python, "-m", "balsam_core", "submit-launch", *words, cwd=tmp_path / "site", HOME=str(tmp_path)).stdout
    assert "# flux: --nodes=2\n" in script
    assert "--mpi=flux-run" in script
    assert "--setattr system.a=1" in script.splitlines()[-1]
