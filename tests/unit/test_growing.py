"""The ends of files, and what is added to them."""

from __future__ import annotations

from pathlib import Path

from balsam_core.growing import Growing


def test_the_last_lines_and_then_what_is_added(tmp_path: Path) -> None:
    file = tmp_path / "a.out"
    file.write_text("1\n2\n3\n")
    growing = Growing(file)
    assert growing.last_lines(2) == "2\n3\n"
    assert growing.added() == ""
    with file.open("a") as stream:
        stream.write("4\n")
    assert growing.added() == "4\n"


def test_a_file_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    growing = Growing(tmp_path / "a.out")
    assert growing.last_lines(5) == ""
    growing.file.write_text("begun\n")
    assert growing.added() == "begun\n"


def test_a_file_that_was_cut_is_read_anew(tmp_path: Path) -> None:
    growing = Growing(tmp_path / "a.out")
    growing.file.write_text("long ago\n")
    growing.added()
    growing.file.write_text("now\n")
    assert growing.added() == "now\n"


def test_a_character_that_comes_in_two_parts_is_whole(tmp_path: Path) -> None:
    growing = Growing(tmp_path / "a.out")
    growing.file.write_bytes("é".encode()[:1])
    first = growing.added()
    growing.file.write_bytes("é".encode())
    assert (first, growing.added()) == ("", "é")


def test_of_a_file_without_line_ends_only_the_end_is_read(tmp_path: Path) -> None:
    growing = Growing(tmp_path / "a.out")
    growing.file.write_bytes(b"x" * 1_000_000)
    assert growing.last_lines(2) == "x" * 8_000


def test_long_lines_are_whole_and_as_many_as_were_asked_for(tmp_path: Path) -> None:
    growing = Growing(tmp_path / "a.out")
    lines = [f"{number}{'x' * 2_000}\n" for number in range(50)]
    growing.file.write_text("".join(lines))
    assert growing.last_lines(20) == "".join(lines[-20:])
    assert growing.last_lines(0) == growing.added() == ""
