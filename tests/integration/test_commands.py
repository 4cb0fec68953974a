"""Running commands for real: how each way to end is told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from balsam_core.commands import HostProbe, answer_of, run_command
from balsam_core.errors import SchedulerUnavailable
from balsam_core.plugins import Command, CommandResult


def shell(script: str, **env: str) -> Command:
    return Command(("/bin/sh", "-c", script), env)


def test_stdout_and_stderr_are_never_mixed() -> None:
    command = shell("echo out; echo err >&2; exit 3")
    assert run_command(command, 10) == CommandResult(command.argv, 3, "out\n", "err\n")


def test_a_command_speaks_the_c_locale_and_sees_its_own_variables() -> None:
    result = run_command(shell("echo $LC_ALL $A", A="1"), 10, {"LC_ALL": "de_DE.UTF-8", "PATH": "/bin:/usr/bin"})
    assert result.stdout == "C 1\n"
    blind = Command(("/bin/sh", "-c", "echo ${A-none} $B"), unset=("A", "C"))
    assert run_command(blind, 10, {"A": "1", "B": "2"}).stdout == "none 2\n"


def test_a_command_reads_its_text_or_nothing() -> None:
    assert run_command(Command(("cat",), stdin="é\n"), 10).stdout == "é\n"
    assert run_command(Command(("cat",)), 10).stdout == ""


def test_output_that_is_no_utf_8_is_still_read() -> None:
    assert run_command(shell(r"printf 'a\377b'"), 10).stdout == "a\ufffdb"


def test_a_missing_command_is_told() -> None:
    result = run_command(Command(("no_such_command",)), 10)
    assert (result.returncode, result.stderr) == (127, "no_such_command: command not found")
    with pytest.raises(SchedulerUnavailable, match=r"^no_such_command: command not found$"):
        answer_of(result)


def test_a_command_that_cannot_be_executed_is_told(tmp_path: Path) -> None:
    (tmp_path / "qstat").write_text("not a program")
    result = run_command(Command((str(tmp_path / "qstat"),)), 10)
    assert (result.returncode, result.stderr) == (126, f"{tmp_path}/qstat: Permission denied")


def test_a_missing_interpreter_is_told(tmp_path: Path) -> None:
    script = tmp_path / "qstat"
    script.write_text("#!/no/such/python\n")
    script.chmod(0o755)
    assert run_command(Command((str(script),)), 10).stderr == f"{script}: its interpreter is missing"


def test_a_command_that_hangs_is_killed_with_all_it_started() -> None:
    start = time.monotonic()
    result = run_command(shell("echo early; sleep 60 & sleep 60"), 0.3)
    assert time.monotonic() - start < 5
    assert (result.timed_out, result.returncode, result.stdout) == (True, -9, "early\n")
    with pytest.raises(SchedulerUnavailable, match="/bin/sh gave no answer in time"):
        answer_of(result)


def test_a_process_that_left_the_group_cannot_hold_the_core() -> None:
    start = time.monotonic()
    assert run_command(shell("setsid sleep 8 & sleep 60"), 0.3).timed_out
    assert time.monotonic() - start < 5


def test_a_missing_file_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "nodes").write_text("n1\n")
    assert HostProbe({}).read_text(str(tmp_path / "nodes")) == "n1\n"
    assert HostProbe({}).read_text(str(tmp_path / "missing")) is None
