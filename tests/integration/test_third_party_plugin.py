"""A plugin of somebody else: installed as its own distribution beside balsam-core, and used from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.environments import run


def test_its_own_tests_pass_there(python: Path) -> None:
    tests = python.parents[1] / "source" / "balsam-plugin-flux" / "tests"
    done = run(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests))
    assert "passed" in done.stdout


def test_it_is_listed_checked_and_selected_by_name(python: Path, tmp_path: Path) -> None:
    def balsam(*words: str) -> str:
        return run(str(python), "-m", "balsam_core", *words, cwd=tmp_path, HOME=str(tmp_path)).stdout

    assert "balsam-plugin-flux | 0.1.0" in balsam("plugin", "ls")
    assert "0 failed" in balsam("plugin", "check", "flux")
    balsam("init", "site")
    settings = tmp_path / "site" / "settings.toml"
    text = settings.read_text().replace("# same_host = true", "same_host = true")
    settings.write_text(text + '\n[flux]\nattributes = ["system.a=1"]\n')
    words = ("-n", "2", "-t", "30", "--scheduler", "flux", "--mpi", "flux-run", "--dry-run")
    command = (str(python), "-m", "balsam_core", "submit-launch", *words)
    script = run(*command, cwd=tmp_path / "site", HOME=str(tmp_path)).stdout
    assert "# flux: --nodes=2\n" in script
    assert "--mpi=flux-run" in script
    assert "--setattr system.a=1" in script.splitlines()[-1]
