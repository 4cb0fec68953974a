"""What users type wrong, word by word: each error names the value and the way out, in one line on stderr."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from balsam_core.cli import main
from tests.acceptance.runner import CommandLine, Ran

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "12222222-2222-4222-8222-222222222222"
_JOBS = (
    {"job_id": ONE, "name": "one", "workflow": "scan", "application": "hello"},
    {"job_id": TWO, "name": "two", "workflow": "scan", "application": "hello", "parents": [ONE]},
)
_JOB = "job --name a --workflow w --application hello --yes"


@pytest.fixture(scope="module")
def made_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with two applications and two jobs, of which TWO waits for ONE."""
    path = tmp_path_factory.mktemp("made") / "site"
    rows = path.parent / "jobs.jsonl"
    rows.write_text("\n".join(map(json.dumps, _JOBS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(path.parent))
        patch.setenv("BALSAM_DB_PATH", str(path))
        assert main(["init", str(path)]) == 0
        assert main(["app", "--name", "hello", "--executable", "echo"]) == 0
        assert main(["app", "--name", "other", "--executable", "echo"]) == 0
        assert main(["job", "--from-file", str(rows), "--yes"]) == 0
    return path


@pytest.fixture
def site(made_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that site, which is the current folder: quicker than a new one for each row."""
    path = tmp_path / "site"
    shutil.copytree(made_site, path)
    monkeypatch.chdir(path)
    return path


def check(ran: Ran, code: int, *fragments: str) -> None:
    """The command failed as told: one line on stderr that holds the fragments, nothing on stdout."""
    assert (ran.code, ran.out) == (code, ""), ran
    assert ran.err.startswith("balsam"), ran.err
    assert ran.err.count("\n") == 1, ran.err
    assert "Traceback" not in ran.err
    for fragment in fragments:
        assert fragment in ran.err


USAGE = [
    ("", "lss", "no such command: 'lss'; did you mean 'ls'?; see `balsam --help`"),
    ("", "--verson", "no such option '--verson'; did you mean '--version'?"),
    ("ls", "xx", "'xx' is not one of 'jobs', 'apps'"),
    ("ls", "jobs extra", "unexpected extra argument (extra)"),
    ("ls", "--limit 0", "'--limit': 0 is not in the range 1<=x<="),
    ("ls", "--limit 99999999999999999999", "99999999999999999999 is not in the range 1<=x<=2147483647"),
    ("ls", "--limit many", "'--limit': 'many' is not a whole number"),
    ("ls", "--state=", "--state is empty"),
    ("ls", "--tag=", "--tag is empty"),
    ("ls", "--tag==x", "--tag is empty"),
    ("ls", "--history --tree", "exclude each other"),
    ("app", "--name b", "missing option '--executable'"),
    ("app", "--name b --executable", "option '--executable' needs a value"),
    ("job", "--n x", "option '--n' is short for several: --name, --node-packing-count, --num-nodes"),
    ("job", "--name x --args --foo", "no such option: --foo; a value that starts with a dash goes so: --args='--foo'"),
    ("job", "--wall-time-minutes 1h", "'1h' is not a whole number"),
    ("job", "--timeout-seconds soon", "'soon' is not a number"),
    ("make_dummies", "0", "0 is not in the range 1<=x<=1000000"),
    ("modify", "", "missing argument '[ID] ATTR VALUE'"),
    ("modify", "a executable --type apps", "give APP ATTR VALUE --type apps"),
    ("modify", "a b c --type queues", "'queues' is not one of 'jobs', 'apps'"),
    ("dep", "1111", "missing argument 'CHILD'"),
    ("killjob", "", "name jobs: by --id, --name, --wf, --state or --tag, or --all"),
    ("retry", "", "name jobs: by ID"),
    ("hold", "", "name jobs: by ID"),
    ("rm", "", "missing argument '{jobs|apps}'. Choose from: jobs, apps"),
    ("rm", "jobs --state= --yes", "--state is empty"),
    ("rm", "jobs --state=, --yes", "--state is empty"),
    ("killjob", "--tag= --yes", "--tag is empty"),
    ("wait", "--timeout -1", "'--timeout': -1.0 is not in the range 0<=x<="),
    ("wait", "--timeout soon", "'soon' is not a number"),
    ("tail", "", "missing argument 'JOB'"),
    ("tail", "1111 -n -1", "-1 is not in the range 0<=x<="),
    ("explain", "launch", "give a job's id, or `launch ID`, or `launcher ID`"),
    ("explain", "launcher", "give a job's id, or `launch ID`, or `launcher ID`"),
    ("clean", "--older-than -3d", "'-3d' is not a length of time such as 30m, 12h, 7d, 2w"),
    ("plot", "pie", "'pie' is not one of 'utilization', 'throughput'"),
    ("plot", "states -o x.gif", "cannot tell how to draw 'x.gif'; the name ends in .png, .svg, .html"),
    ("plot", "scaling --name one", "of the filters it takes --wf alone"),
    ("report", "", "missing argument 'WORKFLOW'"),
    ("top", "--interval 0", "'--interval': 0.0 is not in the range 0.1<=x<="),
    ("dashboard", "--port 99999", "99999 is not in the range 0<=x<=65535"),
    ("launcher", "", "give one of --consume-all and --wf-filter WF"),
    ("launcher", "--consume-all --wf-filter scan", "give one of --consume-all and --wf-filter WF"),
    ("launcher", "--consume-all --job-mode fast", "'fast' is not one of 'serial', 'mpi'"),
    ("launcher", "--consume-all --time-limit-minutes 0", "0.0 is not in the range 0<x<="),
    ("launcher", "--consume-all --time-limit-minutes nan", "'nan' is not a number"),
    ("launcher", "--consume-all --limit-nodes 0", "0 is not in the range 1<=x<="),
    ("submit-launch", "-t 5", "missing option '--nodes' / '-n'"),
    ("submit-launch", "-n 0 -t 5", "0 is not in the range 1<=x<="),
    ("submit-launch", "-n 1 -t 01:00:00", "'01:00:00' is not a whole number"),
    ("cancel-launch", "", "missing argument 'ID'"),
    ("db", "nope", "no such command: 'nope'; known: adopt, backup, copy, restore, upgrade; see `balsam db --help`"),
    ("service", "strt", "no such command: 'strt'; did you mean"),
    ("init", "x --database mysql://me:secret@host/db", "--database 'mysql': give sqlite, postgresql or postgresql://..."),
    ("db", "copy", "missing option '--to'"),
    ("server", "", "say one of --connect, --reset, --stop"),
    ("server", "--add-user=", "the name of the user is empty"),
    ("completion", "tcsh", "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "words", "says"), USAGE)
def test_wrong_usage_is_named_with_the_command_whose_help_helps(
    balsam: CommandLine, site: Path, command: str, words: str, says: str
) -> None:
    ran = balsam(*command.split(), *words.split())
    check(ran, 2, f"balsam {command}".strip(), says, "--help`")


REQUESTS = [
    ("app --name hello --executable echo", "named 'hello' already", "`balsam modify hello executable ..."),
    ("app --name '' --executable echo", "name cannot be ''"),
    ("app --name b --executable ''", "executable cannot be ''"),
    ("job --name a --workflow w --application helo --yes", "no application named 'helo'; did you mean 'hello'?"),
    (f"{_JOB} --num-nodes 0", "num_nodes cannot be 0: should be greater than or equal to 1"),
    (f"{_JOB} --cpu-affinity wide", "cpu_affinity cannot be 'wide': should be 'none' or 'depth'"),
    (f"{_JOB} --timeout-seconds nan", "timeout_seconds cannot be nan: should be a finite number"),
    (f"{_JOB} --priority 9999999", "priority cannot be 9999999: should be less than or equal to 1000000"),
    (f"{_JOB} --data [1]", "data cannot be [1]: should be an object, as {}"),
    (f"{_JOB} --env 1A=x", "'1A' is not the name of a variable"),
    (f"{_JOB} --tag =x", "tags cannot be ['=x']: a tag has no name; write NAME=value"),
    (f"{_JOB} --parents xyz", "'xyz' is not part of a job's id; ids are hexadecimal digits, as `balsam ls` shows them"),
    ("job --from-file jobs.txt", "jobs.txt is neither .csv nor .jsonl"),
    ("job --from-file no.csv", "cannot read no.csv: No such file"),
    ("mkchild --name a --application hello", "BALSAM_JOB_ID is not set", "`balsam job --parents ID`"),
    ("modify 1111 num_nods 2", "no field 'num_nods' can be changed; did you mean 'num_nodes'?"),
    ("modify 1111 num_nodes two", "num_nodes cannot be 'two'"),
    ("modify 1111 state RUNING", "no state named 'RUNING'; did you mean 'RUNNING'?"),
    ("modify 1111 wait_for_parents maybe", "wait_for_parents cannot be 'maybe'"),
    ("modify 1111 environ_vars FOO", "'FOO' is not of the form NAME=value"),
    ("modify 1111 application nosuch", "no application named 'nosuch'; known: hello, other"),
    ("modify 9 num_nodes 2", "no job has the id '9'; `balsam ls` lists the ids"),
    ("modify --wf scan num_nodes 2", "Set num_nodes of 2 jobs to '2'? [y/n]", "`--yes` goes on without asking"),
    ("modify hello name other --type apps", "an application named 'other' already"),
    ("modify hello name '' --type apps", "the application 'hello' cannot be changed so: name cannot be ''"),
    ("modify hello app_id x --type apps", "no field 'app_id' to change; known: description, envscript, executable"),
    ("dep 1 2222", "the id '1' fits several jobs: ", f"{ONE} (one)", f"{TWO} (two)", "give more of it"),
    ("dep 1222 1111", "circular dependency", ONE, TWO),
    ("dep 1111 1111", "circular dependency", ONE),
    ("killjob xyz", "'xyz' is not part of a job's id"),
    ("killjob --state XYZ", "no state named 'XYZ'; known: AWAITING_PARENTS, "),
    ("killjob --all", "Kill 2 jobs? [y/n]", "nothing was changed"),
    ("rm jobs --id 9", "no job has the id '9'"),
    ("rm jobs --all", "Delete 2 jobs? [y/n]", "nothing was changed"),
    (f"{_JOB} --memory-mb 99999999999999999999", "memory_mb cannot be 99999999999999999999: should be less than"),
    (f"{_JOB} --wall-time-minutes 2147483648", "should be less than or equal to 2147483647"),
    ("retry 9", "no job has the id '9'"),
    ("hold 9", "no job has the id '9'"),
    ("tail 9", "no job has the id '9'"),
    ("wait 9", "no job has the id '9'"),
    ("wait --for XYZ", "no state named 'XYZ'; known: "),
    ("wait --for RUN_ERROR", "a job may pass RUN_ERROR unseen", "one can for CREATED, "),
    ("explain launch 99", "no batch job is called '99'; `balsam ls queues --history` lists them"),
    ("explain launcher ffff", "no launcher has the id 'ffff'; `balsam ls launchers --verbose` lists them"),
    ("ls --fields nods", "no field 'nods' to list; did you mean 'node'?"),
    ("plot states --wf nosuch", "no jobs found matching query; there is nothing to plot"),
    ("report nosuch", "no job has the workflow 'nosuch'; known: scan"),
    ("launcher --wf-filter scna", "no job has the workflow 'scna'; did you mean 'scan'?"),
    ("launcher --consume-all --mpi mpiexe", "no MPI launcher named 'mpiexe'", "mpiexec"),
    ("launcher --consume-all --node-source here", "no node source named 'here'; installed: ", "local"),
    ("launcher --consume-all --offset-nodes 3", "the allocation has 1, --offset-nodes is 3; give a smaller offset"),
    ("submit-launch -n 1 -t 5 --wf-filter nosuch", "no job has the workflow 'nosuch'; known: scan"),
    ("submit-launch -n 1 -t 5 --scheduler lsf", "no scheduler named 'lsf'; installed: ", "slurm"),
    ("submit-launch -n 1 -t 5 --mpi mpiexe", "no MPI launcher named 'mpiexe'"),
    ("submit-launch -n 1 -t 5 -q 'a b'", "queue cannot be 'a b': should be one word"),
    ("submit-launch -n 1 -t 5 --scheduler pbs", "SQLite database serves one host only", "--database postgresql"),
    ("cancel-launch 99", "no batch job is called '99'"),
    ("service --dry-run", "add a [[queues]] section to settings.toml"),
    ("init . --database sqlite", "is a site already; use it with `. balsamactivate "),
    ("init settings.toml", "settings.toml is in the way; give `balsam init` another path"),
    ("init x --machine frontier", "no machine named 'frontier'; installed: ", "polaris"),
    ("init x --group no-such-group", "no group 'no-such-group' on this host; `id -Gn` lists yours"),
    ("which --name nosuch", "no site named 'nosuch', and no such folder", "`balsam which --list`"),
    ("db copy --to mysql://me:secret@host/db", "'mysql' is no database", "sqlite:///FILE or postgresql://USER@HOST/DB"),
    ("db copy --to sqlite:///", "'sqlite:///' names no file; write sqlite:///FILE"),
    ("db copy --to sqlite:///balsam.db", "balsam.db has rows in its table jobs; give an empty database"),
    ("db backup settings.toml", "settings.toml exists; give the name of a new file"),
    ("db restore nosuch.db", "there is no file nosuch.db; give one that `balsam db backup` wrote"),
    ("server --list-users", "which has no server; `balsam db copy --to URL` moves it to one"),
    ("plugin show lcal", "no plugin named 'lcal'; did you mean 'local'?"),
]  # fmt: skip


@pytest.mark.parametrize("row", REQUESTS, ids=[row[0] for row in REQUESTS])
def test_a_request_that_cannot_be_names_the_value_and_the_way_out(
    balsam: CommandLine, site: Path, row: tuple[str, ...]
) -> None:
    words, *fragments = row
    ran = balsam(*shlex.split(words))
    # A question stands on a line of its own, before the line that says that nobody answered.
    question, _, told = ran.err.rpartition("[y/n]: \n")
    assert "secret" not in ran.err
    check(Ran(ran.code, ran.out, told), 1)
    assert [fragment for fragment in fragments if fragment not in question + "[y/n]: " + told] == []


SETTINGS = [
    ("[launchr]", "ls", "settings.toml: there is no section [launchr]; did you mean 'launcher'?"),
    ("[site]\n[site]", "ls", "settings.toml: cannot declare [site] twice (at line 2", "correct it there"),
    ("[launcher]\nlease_seconds = -1", "ls", "[launcher] lease_seconds = -1: should be greater than 0; the default"),
    ("[site]\ndatabase = 'mysql://me:secret@h/d'", "ls", "settings.toml: [site]: 'mysql' is no database"),
    ("[[queues]]\nmax_nodes = 3", "ls", "[[queues]] (number 1) needs a name; add it"),
    ("[site]\ndata_path = '/proc/x'", "launcher --consume-all", "job folders in /proc/x: ", "correct [site] data_path"),
    ("[mpi]\nname = 'x'", "launcher --consume-all --job-mode mpi", "no MPI launcher named 'x'; installed: "),
    ("[nodes]\nsource = 'x'", "launcher --consume-all", "no node source named 'x'; installed: "),
    ("[scheduler]\nname = 'x'", "submit-launch -n 1 -t 1", "no scheduler named 'x'; installed: "),
    ("[template]\nfile = 'x.j2'", "submit-launch -n 1 -t 1", "there is no template 'x.j2'", "correct [template] file"),
    ("[local]\nvirtual_nodes = 'x'", "launcher --consume-all", "virtual_nodes = 'x'", "the default is 0"),
    ("[plugins.nosuch]\nx = 1", "launcher --consume-all", "no plugin named 'nosuch' is installed"),
    ("[[queues]]\nname = 'q'\nmax_nodes = 2", "submit-launch -n 4 -t 1 -q q", "not take 4 nodes", "1 to 2 nodes"),
    ("[site]\ndatabase = 'postgresql'", "ls", "server was never started; run `balsam server --connect`"),
    ("[site]\ndatabase = 'postgresql'\npg_bin = '/no'", "server --connect", "pg_bin = '/no': no initdb"),
    ("[site]\ndatabase = 'postgresql://me:secret@localhost:1/d'", "ls", "no PostgreSQL server answers at localhost:1"),
]  # fmt: skip


@pytest.mark.parametrize("row", SETTINGS, ids=[f"{row[0]} {row[1]}" for row in SETTINGS])
def test_a_wrong_setting_is_named_with_its_place(balsam: CommandLine, site: Path, row: tuple[str, ...]) -> None:
    settings, words, *fragments = row
    Path("settings.toml").write_text(settings)
    ran = balsam(*words.split())
    check(ran, 1, *fragments)
    assert "secret" not in ran.err


def test_a_variable_with_a_wrong_value_is_named(
    balsam: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BALSAM_LS_LIMIT", "all")
    check(balsam("ls"), 2, "invalid value for BALSAM_LS_LIMIT: 'all' is not a whole number")
    monkeypatch.setenv("BALSAM_LS_LIMIT", "3")
    monkeypatch.setenv("BALSAM_LS_FIELDS", "num_nodes:nods")
    check(balsam("ls"), 1, "no field 'nods' to list; did you mean 'node'?")
    monkeypatch.setenv("BALSAM_LAUNCHER__LEASE_SECNDS", "3")
    check(balsam("ls"), 1, "BALSAM_LAUNCHER__LEASE_SECNDS", "did you mean 'lease_seconds'?")


def _sql(statement: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with sqlite3.connect(file) as database:
            database.execute(statement)

    return change


def _another_database(file: Path) -> None:
    file.unlink()
    _sql("CREATE TABLE t (x)")(file)


@pytest.mark.parametrize(
    ("spoil", "words", "says"),
    [
        (lambda file: file.write_bytes(b""), "ls", "is not a Balsam database; make a site with `balsam init PATH`"),
        (_another_database, "ls", "is not a Balsam database"),
        (_another_database, "db upgrade", "is not a Balsam database"),
        (lambda file: file.write_bytes(file.read_bytes()[:30_000]), "ls", "is damaged", ),
        (_sql("UPDATE alembic_version SET version_num = '9999'"), "ls", "made by a newer Balsam than this one"),
        (_sql("UPDATE alembic_version SET version_num = '0001'"), "ls", "older schema 0001", ),
        (_sql("DROP TABLE jobs"), "ls", "is not as Balsam made it (no such table: jobs); restore a copy of it"),
    ],
)  # fmt: skip
def test_a_database_that_cannot_be_used_is_named(
    balsam: CommandLine, site: Path, spoil: Callable[[Path], None], words: str, says: str
) -> None:
    spoil(site / "balsam.db")
    check(balsam(*words.split()), 1, says)


def test_a_failed_init_and_a_failed_backup_leave_nothing_in_the_way(balsam: CommandLine, site: Path) -> None:
    check(balsam("init", "x", "--database", "postgresql://localhost:1/d"), 1, "no PostgreSQL server answers")
    assert "Successfully created" in balsam.ok("init", "x").out
    _sql("DROP TABLE jobs")(site / "balsam.db")
    assert balsam("db", "backup", "copy.db").code == 1
    assert not Path("copy.db").exists()


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--args", "it's", "no closing quotation; so it will fail: correct it with `balsam modify "),
        ("--url-in", "foo://x/y", "no transfer for 'foo' is known; use local:/path"),
        ("--url-out", "results", "'results': the path must be absolute, as in local:/path"),
    ],
)
def test_a_job_that_will_fail_is_added_with_a_warning(
    balsam: CommandLine, site: Path, option: str, value: str, says: str
) -> None:
    ran = balsam.ok(*_JOB.split(), option, value)
    assert ran.err.startswith("balsam: warning: ")
    assert says in ran.err


def test_the_traceback_of_an_error_is_shown_for_debug_only(balsam: CommandLine, site: Path) -> None:
    ran = balsam("--debug", "tail", "9")
    assert ran.code == 1
    assert ran.err.startswith("Traceback (most recent call last):")
    assert ran.err.endswith("balsam: no job has the id '9'; `balsam ls` lists the ids\n")


def test_an_error_that_nobody_foresaw_is_one_line_and_its_traceback_is_kept(
    balsam: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object, **__: object) -> None:
        raise KeyError("nodes")

    monkeypatch.setattr("balsam_core.cli.listing.show_jobs", bug)
    check(balsam("ls"), 1, "unforeseen KeyError: 'nodes'; this is a bug, please report it with ")
    [file] = (site / "log").glob("error-*.log")
    assert file.read_text().startswith("Traceback (most recent call last):")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_closed_standard_input_is_nobody_who_says_yes(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["rm", "jobs", "--all"]) == 1
    assert "no answer on standard input, nothing was changed" in capsys.readouterr().err
