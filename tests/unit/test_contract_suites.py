"""The contract suites, on the bundled plugins and on ones that break them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from balsam_core.cli.checking import check_plugin
from balsam_core.plugins import Command, CommandResult, Launch, MpiLauncher, Scheduler, StatusReport
from balsam_core.plugins.registry import load_registry
from balsam_core.testing import MpiLauncherContract, NodeSourceContract, PlayedProbe, SchedulerContract, read_recordings
from balsam_core.testing.running import Finding, check_mpi_launcher, check_node_source, check_scheduler
from balsam_local.scheduler import LocalScheduler
from tests.acceptance.runner import CommandLine
from tests.batching import PlayedScheduler, status

REGISTRY = load_registry()


@pytest.mark.parametrize("scheduler", REGISTRY.schedulers(), ids=lambda one: one.name)
def test_every_bundled_scheduler_keeps_its_contract(scheduler: Scheduler) -> None:
    assert broken(check_scheduler(scheduler)) == []


@pytest.mark.parametrize("name", sorted({name for info in REGISTRY.plugins() for name in info.roles["MPI launcher"]}))
def test_every_bundled_mpi_launcher_keeps_its_contract(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda program, **_: f"/usr/bin/{program}")
    assert broken(check_mpi_launcher(REGISTRY.mpi_launcher(name))) == []


@pytest.mark.parametrize("name", [source.name for source in REGISTRY.node_sources()])
def test_every_bundled_node_source_keeps_its_contract(name: str) -> None:
    assert broken(check_node_source(REGISTRY.node_source(name))) == []


class Guessing(PlayedScheduler):
    """Breaks the contract in the ways of other launchers."""

    def submit_command(self, request: object, script: str, dry_run: bool) -> Command | None:
        return Command(("playsub", script))

    def parse_submit(self, result: CommandResult) -> str:
        return result.stderr.split()[-1] if result.stderr else "0"

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        return StatusReport({line.split()[0]: status(line.split()[1]) for line in result.stdout.splitlines()})


def test_a_scheduler_that_guesses_is_found_out() -> None:
    problems = {finding.test: finding.problem for finding in broken(check_scheduler(Guessing()))}
    assert problems["its dry run is a command of its own or none"] == "a dry run would submit"
    assert problems["its ids are text and an empty answer is none"] == "'0' was made of nothing"
    assert problems["a failed submit gives no id"] == "\"'nowhere'\" was made of nothing"
    assert "lacks" in str(problems["the users own words reach the submit command as they are"])
    assert str(problems["whatever the answer is only the three errors come out"]).startswith("IndexError")


class Forgetting(MpiLauncher):
    """Loses flags and variables."""

    name = "forgetting"

    def command(self, launch: Launch) -> Command:
        return Command(("run", "-n", "1", *" ".join(launch.argv).split()))


def test_an_mpi_launcher_that_loses_words_is_found_out() -> None:
    assert {finding.test for finding in broken(check_mpi_launcher(Forgetting()))} == {
        "the program and its arguments come last and unchanged",
        "the flags of the job stand before the program",
        "every variable reaches the ranks",
        "it names its nodes and its ranks",
    }


def test_the_suites_have_no_test_that_pytest_would_not_collect() -> None:
    for suite in (SchedulerContract, MpiLauncherContract, NodeSourceContract):
        assert len([name for name in dir(suite) if name.startswith("test_")]) >= 3


def test_a_recording_is_read_as_commands_with_their_answers(tmp_path: Path) -> None:
    file = tmp_path / "recorded.txt"
    file.write_text("##### heading\n$ qsub -A x\n  OUT| 14\n  ERR| warning: 'x'\n  ERR|\n  rc=0\n$ qdel 9\n  rc=153\n")
    first, second = read_recordings(file)
    assert (first.typed, first.result) == (
        "qsub -A x",
        CommandResult(("qsub", "-A", "x"), 0, "14\n", "warning: 'x'\n\n"),
    )
    assert (second.result.returncode, second.result.stdout) == (153, "")
    file.write_text("$ qsub\n  OUT| 14\n")
    with pytest.raises(ValueError, match="the recording of 'qsub' has no exit code"):
        read_recordings(file)


def test_a_played_machine_has_what_it_was_given_and_no_other_command() -> None:
    probe = PlayedProbe({"A": "1"}, {"/f": "text"}, {"squeue": "7 R\n"})
    assert (probe.read_text("/f"), probe.read_text("/g")) == ("text", None)
    assert probe.run(Command(("squeue", "-h"))).stdout == "7 R\n"
    assert probe.run(Command(("qstat",))).returncode == 127
    assert [command.argv for command in probe.asked] == [("squeue", "-h"), ("qstat",)]


def test_plugin_check_tells_each_test_and_fails_when_one_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    balsam = CommandLine(monkeypatch, capsys)
    ran = balsam.ok("plugin", "check", "local")
    assert "    ok  MPI launcher openmpi: every variable reaches the ranks" in ran.out or "openmpi" in ran.out
    assert ran.out.rstrip().endswith("0 failed")
    assert balsam("plugin", "check", "nonsense").code == 1


def test_a_plugin_that_fails_when_it_is_asked_live_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(scheduler: LocalScheduler, ids: Sequence[str], result: CommandResult) -> StatusReport:
        raise KeyError("state")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(LocalScheduler, "parse_status", fails)
    (finding,) = [one for one in check_plugin("local", None, live=True) if one.test == "it answers here and now"]
    assert "KeyError: 'state'" in str(finding.problem)


def broken(findings: Sequence[Finding]) -> list[Finding]:
    assert findings
    return [finding for finding in findings if finding.problem]
