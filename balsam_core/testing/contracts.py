"""The contracts as suites: what every scheduler, MPI launcher and node source keeps to, whoever wrote it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from balsam_core.errors import ConfigError, LaunchError, SchedulerError
from balsam_core.plugins.contracts import (
    Allocation,
    BatchRecord,
    Command,
    CommandResult,
    MpiLauncher,
    NodeSource,
    Probe,
    Scheduler,
    StatusReport,
)
from balsam_core.testing.playing import PlayedProbe, a_launch, a_request

_IDS = ("7", "16_3", "8[].vm", "12;cluster")
_ODD_TEXTS = (
    "",
    "\n\n",
    "Welcome to the machine!\n*** maintenance on Monday ***\n",
    "<html><body>502 Bad Gateway</body></html>",
    "{",
    '{"jobs": [{"job_id": 7, "job_state": "RUN',
    "7",
    "7 R\n16_3",
    "=" * 80,
    "\x00\x01\x02\ufffd",
    json.dumps({"Jobs": None, "jobs": 3}),
    "7|" * 3000,
)
_AWKWARD = ("a b", "it's", '{"e0": 10.0}', "a,b=c", "--flag", "$HOME", "")


class SchedulerContract:
    """What a scheduler keeps to; a subclass says which one."""

    scheduler: Scheduler

    def test_its_submit_command_is_words_that_name_the_script(self) -> None:
        command = self.scheduler.submit_command(a_request(), "/site/qsubmit/qlaunch1.sh", False)
        assert command is not None, "submit_command gave no command"
        _check_command(command)
        assert "/site/qsubmit/qlaunch1.sh" in command.argv, f"{command.argv} does not name the script"

    def test_the_users_own_words_reach_the_submit_command_as_they_are(self) -> None:
        flags = ("--constraint", "a b", "-l=x=1:y")
        command = self.scheduler.submit_command(a_request(sched_flags=flags), "/s.sh", False)
        assert command is not None
        missing = [flag for flag in flags if flag not in command.argv]
        assert not missing, f"{command.argv} lacks {missing}"
        behind = command.argv[len(command.argv) - command.argv[::-1].index("/s.sh") :]
        assert not set(flags) & set(behind), "words behind the script are its arguments"

    def test_its_dry_run_is_a_command_of_its_own_or_none(self) -> None:
        dry = self.scheduler.submit_command(a_request(), "/s.sh", True)
        assert dry != self.scheduler.submit_command(a_request(), "/s.sh", False), "a dry run would submit"
        if dry is not None:
            _check_command(dry)

    def test_the_batch_job_carries_its_tag_as_its_name(self) -> None:
        request = a_request(tag="ql42-1234abcd")
        command = self.scheduler.submit_command(request, "/s.sh", False)
        assert command is not None
        shown = " ".join(command.argv) + self._script(tag="ql42-1234abcd")
        assert "ql42-1234abcd" in shown, "neither the command nor the script names the batch job by its tag"

    def test_its_script_begins_with_an_interpreter_and_runs_the_launcher(self) -> None:
        script = self._script()
        assert script.startswith("#!"), f"the script begins {script[:20]!r}, not with #!"
        assert "balsam_core launcher" in script, "the script does not run the launcher"

    def test_its_script_is_rendered_for_every_kind_of_request(self) -> None:
        for fields in (
            {"queue": "debug", "project": "ada", "wf_filter": "it's *", "gpus_per_node": 4},
            {"nodes": 1, "time_limit_minutes": 1, "job_mode": "serial"},
            {"nodes": 4392, "time_limit_minutes": 7 * 24 * 60},
        ):
            assert "\n\n\n\n" not in self._script(**fields)

    def test_no_value_breaks_out_of_its_line(self) -> None:
        try:
            script = self._script(wf_filter="x\n#!/bin/evil")
        except ConfigError:
            return
        assert "\n#!/bin/evil" not in script, "a newline in the workflow filter made a line of its own"

    def test_one_command_asks_for_all_ids(self) -> None:
        command = self.scheduler.status_command(_IDS, "ada")
        assert isinstance(command, Command), f"status_command gave {command!r}, not one Command"
        _check_command(command)

    def test_its_ids_are_text_and_an_empty_answer_is_none(self) -> None:
        _call(lambda: self.scheduler.parse_submit(CommandResult(("submit",), 0, "")), str, must_raise=True)

    def test_a_failed_submit_gives_no_id(self) -> None:
        result = CommandResult(("submit",), 1, "", "submit: error: no such queue 'nowhere'")
        error = _call(lambda: self.scheduler.parse_submit(result), str, must_raise=True)
        assert "nowhere" in str(error), f"the error {error} does not hold the scheduler's own words"

    def test_whatever_the_answer_is_only_the_three_errors_come_out(self) -> None:
        for text in _ODD_TEXTS:
            for code in (0, 1, 255):
                for out, err in ((text, ""), ("", text)):
                    result = CommandResult(("command",), code, out, err)
                    self._check_parsers(result)

    def test_absent_is_not_finished(self) -> None:
        for text in ("", "\n"):
            report = _call(lambda: self.scheduler.parse_status(_IDS, CommandResult(("s",), 0, text)), StatusReport)  # noqa: B023 called at once
            if isinstance(report, StatusReport):
                assert not report.jobs, f"an empty answer says {report.jobs}"

    def test_history_has_a_result_for_each_command(self) -> None:
        records = [BatchRecord(name, "/site/qsubmit", "/site/qsubmit/qlaunch1") for name in _IDS]
        commands = list(self.scheduler.history_commands(records))
        for command in commands:
            _check_command(command)
        results = [CommandResult(command.argv, 0) for command in commands]
        _call(lambda: self.scheduler.parse_history(records, results), StatusReport)

    def test_one_command_cancels_all_ids(self) -> None:
        _check_command(self.scheduler.cancel_command(_IDS))

    def test_it_asks_for_idle_nodes_by_a_command_or_not_at_all(self) -> None:
        command = self.scheduler.idle_command()
        if command is not None:
            _check_command(command)

    def _script(self, **fields: object) -> str:
        # Imported here: jinja2 and the settings are no part of what a plugin imports.
        from balsam_core.batch.script import render_script
        from balsam_core.settings import TemplateSettings
        from balsam_core.site import Site

        with tempfile.TemporaryDirectory() as folder:
            site, settings = Site(Path(folder)), TemplateSettings()
            return render_script(self.scheduler, a_request(**fields), site, settings, environ={}, python="/bin/python")

    def _check_parsers(self, result: CommandResult) -> None:
        scheduler = self.scheduler
        record = BatchRecord("7", "/site/qsubmit", "/site/qsubmit/qlaunch1")
        _call(lambda: scheduler.parse_submit(result), str)
        report = _call(lambda: scheduler.parse_status(_IDS, result), StatusReport)
        if isinstance(report, StatusReport):
            strangers = set(report.jobs) - set(_IDS)
            assert not strangers, f"parse_status speaks of {strangers}, which were not asked for"
        _call(lambda: scheduler.parse_find(result), (str, type(None)))
        if len(scheduler.history_commands([record])) == 1:
            _call(lambda: scheduler.parse_history([record], [result]), StatusReport)
        _call(lambda: scheduler.parse_idle(result), (list, tuple))
        agreed = _call(lambda: scheduler.parse_cancel(_IDS, result), frozenset)
        if isinstance(agreed, frozenset):
            assert agreed <= set(_IDS), f"parse_cancel speaks of {agreed - set(_IDS)}, which were not asked for"


class MpiLauncherContract:
    """What an MPI launcher keeps to; a subclass says which one."""

    mpi_launcher: MpiLauncher

    def test_the_program_and_its_arguments_come_last_and_unchanged(self) -> None:
        argv = ("./a.out", *_AWKWARD)
        command = self.mpi_launcher.command(a_launch(2, argv=argv, ranks_per_node=4))
        _check_command(command)
        assert command.argv[-len(argv) :] == argv, f"{command.argv} does not end with the program"
        assert not command.unset, f"{command.unset} would be seen: a program is started in the launcher's environment"

    def test_the_flags_of_the_job_stand_before_the_program(self) -> None:
        command = self.mpi_launcher.command(a_launch(argv=("a.out",), flags=("--one", "two words")))
        place = command.argv.index("--one")
        assert command.argv[place : place + 2] == ("--one", "two words"), f"{command.argv} changed the flags"
        assert place < command.argv.index("a.out")

    def test_every_variable_reaches_the_ranks(self) -> None:
        env = {"OMP_NUM_THREADS": "2", "ODD": "a b,c=d'e"}
        command = self.mpi_launcher.command(a_launch(2, env=env))
        for name, value in env.items():
            in_argv = f"{name}={value}" in command.argv or {name, value} <= set(command.argv)
            assert command.env.get(name) == value or in_argv, f"{name} does not reach the ranks: {command}"

    def test_it_names_its_nodes_and_its_ranks(self) -> None:
        words = " ".join(self.mpi_launcher.command(a_launch(3, ranks_per_node=5)).argv)
        assert "15" in words or "5" in words, f"{words!r} does not say how many ranks"
        assert len({self.mpi_launcher.command(a_launch(n, ranks_per_node=2)).argv for n in (1, 2, 3)}) == 3

    def test_nodes_whose_cores_are_unknown_are_used_unbound(self) -> None:
        _check_command(self.mpi_launcher.command(a_launch(2, cpus=0, ranks_per_node=2, affinity="depth")))

    def test_every_shape_gives_a_command_or_a_launch_error(self) -> None:
        for nodes in (1, 2, 128):
            for ranks, threads, hyper in ((1, 1, 1), (64, 1, 1), (32, 2, 1), (64, 4, 4), (1, 64, 1)):
                shape = {"ranks_per_node": ranks, "threads_per_rank": threads, "threads_per_core": hyper}
                for exclusive in (True, False):
                    launch = a_launch(nodes, gpus=4, affinity="depth", exclusive=exclusive, **shape)
                    try:
                        _check_command(self.mpi_launcher.command(launch))
                    except LaunchError as error:
                        _check_words(error)

    def test_stopping_is_a_command_or_left_to_signals(self) -> None:
        for force in (False, True):
            command = self.mpi_launcher.stop_command(4711, force)
            if command is not None:
                _check_command(command)


class NodeSourceContract:
    """What a node source keeps to; a subclass says which one, and what its machine looks like from inside."""

    node_source: NodeSource
    #: A probe inside an allocation of this source's machine; None: only strangers' machines are tried.
    inside: Probe | None = None

    def test_another_machine_is_not_its_own(self) -> None:
        if not self.node_source.is_fallback:
            found = self.node_source.discover(PlayedProbe())
            assert found is None, f"it finds {found} where nothing says that this is its machine"

    def test_its_own_machine_has_nodes_with_ids_of_their_own(self) -> None:
        if self.inside is None:
            return
        found = self.node_source.discover(self.inside)
        assert isinstance(found, Allocation), f"discover gave {found!r} inside an allocation"
        ids = [node.id for node in found.nodes]
        assert ids, "an allocation without nodes"
        assert len(set(ids)) == len(ids), f"a node twice: {ids}"
        assert all(node.hostname for node in found.nodes), "a node without a hostname"
        assert found.seconds_left is None or found.seconds_left >= 0, f"{found.seconds_left} seconds are left"

    def test_odd_variables_give_a_launch_error_and_nothing_else(self) -> None:
        if not isinstance(self.inside, PlayedProbe):
            return
        for name in self.inside.environ:
            for text in ("", "???", "-1", "n[1-", "99999999999999999999"):
                try:
                    self.node_source.discover(PlayedProbe({**self.inside.environ, name: text}, self.inside.files))
                except LaunchError as error:
                    _check_words(error)


def _check_command(command: Command) -> None:
    assert isinstance(command, Command), f"{command!r} is no Command"
    assert command.argv, "a command without words"
    assert all(isinstance(word, str) for word in command.argv), f"{command.argv} holds more than text"
    assert all(isinstance(value, str) for value in command.env.values()), f"{command.env} holds more than text"
    assert all(isinstance(name, str) for name in command.unset), f"{command.unset} holds more than text"


def _check_words(error: Exception) -> None:
    assert str(error), f"{type(error).__name__} without words"


def _call(parse: Callable[[], object], kind: type | tuple[type, ...], *, must_raise: bool = False) -> object:
    """What `parse` returns, of that kind, or the SchedulerError that it raises."""
    try:
        value = parse()
    except SchedulerError as error:
        _check_words(error)
        return error
    assert not must_raise, f"{value!r} was made of nothing"
    assert isinstance(value, kind), f"{value!r} has the wrong type"
    return value
