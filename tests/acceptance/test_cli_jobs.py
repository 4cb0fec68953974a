"""Adding jobs and applications, and looking at them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.acceptance.runner import CommandLine


def test_a_job_is_shown_and_added_after_a_yes_from_a_pipe(balsam: CommandLine, hello: Path) -> None:
    ran = balsam.ok("job", "--name", "a", "--workflow", "w", "--app", "hello", "--args", "x", "y", stdin="y\n")
    assert "Confirm adding job to DB [y/n]:" in ran.err
    assert "args: x y" in ran.err
    (job,) = balsam.jobs()
    assert ran.out == f"Added job a [{job['job_id']}]\n"
    assert (job["name"], job["args"], job["state"]) == ("a", "x y", "CREATED")


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("n\n", "balsam: aborted: nothing was changed"),
        (
            "",
            "balsam: aborted: no answer on standard input, nothing was changed; `--yes` goes on without asking",
        ),
    ],
)
def test_without_a_yes_no_job_is_added(balsam: CommandLine, hello: Path, stdin: str, message: str) -> None:
    ran = balsam("job", "--name", "a", "--workflow", "w", "--application", "hello", stdin=stdin)
    assert (ran.code, ran.err.splitlines()[-1].removeprefix("Confirm adding job to DB [y/n]: ")) == (1, message)
    assert balsam.jobs() == []


def test_every_option_of_a_job_reaches_its_field(balsam: CommandLine, hello: Path) -> None:
    # fmt: off
    balsam.add(
        "a", "--desc", "two", "words", "--args=--max_evals=20", "--input-files", "a", "b*", "--url-in", "local:/in",
        "--url-out", "/out", "--stage-out-files", "*.h5", "--wall-minutes", "5", "--num-nodes", "2",
        "--coschedule-num-nodes", "1", "--ranks-per-node", "4", "--threads-per-rank", "2", "--threads-per-core", "2",
        "--cpu-affinity", "depth", "--node-packing-count", "3", "--gpus-per-rank", "1", "--memory-mb", "100",
        "--timeout-seconds", "1.5", "--max-retries", "2", "--env", "P=/x:/y", "--env", "Q=a=b",
        "--mpi-flags", "-d 1 --cc depth", "--user-workdir", "here", "--post_handle_error", "--post_handle_timeout",
        "--disable_auto_timeout_retry", "--priority", "-3", "--hold", "--tag", "k=v", "--data", '{"x": [1]}',
    )
    # fmt: on
    (job,) = balsam.jobs()
    expected = {
        "description": "two words",
        "args": "--max_evals=20",
        "input_files": "a b*",
        "stage_in_url": "local:/in",
        "stage_out_url": "/out",
        "stage_out_files": "*.h5",
        "wall_time_minutes": 5,
        "num_nodes": 2,
        "coschedule_num_nodes": 1,
        "ranks_per_node": 4,
        "threads_per_rank": 2,
        "threads_per_core": 2,
        "cpu_affinity": "depth",
        "node_packing_count": 3,
        "gpus_per_rank": 1,
        "memory_mb": 100,
        "timeout_seconds": 1.5,
        "max_retries": 2,
        "environ_vars": {"P": "/x:/y", "Q": "a=b"},
        "mpi_flags": "-d 1 --cc depth",
        "user_workdir": str(hello / "here"),
        "post_error_handler": True,
        "post_timeout_handler": True,
        "auto_timeout_retry": False,
        "priority": -3,
        "hold": True,
        "tags": {"k": "v"},
        "data": {"x": [1]},
    }
    assert {name: job[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--name", "a/b"], 1, "balsam: name cannot be 'a/b': holds a slash or a control character"),
        (
            ["--name", "a\nb"],
            1,
            "balsam: name cannot be 'a\\nb': holds a slash or a control character",
        ),
        (["--name", "\udcff"], 1, "balsam: name cannot be '\\udcff': 'utf-8' codec can't encode"),
        (["--num-nodes", "-1"], 1, "balsam: num_nodes cannot be -1: should be greater than or equal to 1"),
        (["--num-nodes", "x"], 2, "balsam job: invalid value for '--num-nodes': 'x' is not a whole number"),
        (["--app", "helo"], 1, "balsam: no application named 'helo'; did you mean 'hello'?"),
        (["--env", "A"], 2, "balsam job: --env 'A' is not of the form NAME=value"),
        (["--data", "{"], 1, "balsam: data cannot be '{': it is not JSON"),
        (["--parents", "0"], 1, "balsam: no job has the id '0'; `balsam ls` lists the ids"),
        (["--nmae", "x"], 2, "balsam job: no such option: --nmae; did you mean --name?"),
    ],
)
def test_a_job_that_cannot_be_is_refused_in_one_line(
    balsam: CommandLine, hello: Path, options: list[str], code: int, message: str
) -> None:
    ran = balsam("job", "--name", "a", "--workflow", "w", "--application", "hello", "--yes", *options)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith(message)
    assert ran.err.count("\n") == 1
    assert balsam.jobs() == []


def test_an_application_names_files_absolutely_and_a_missing_program_is_a_warning(
    balsam: CommandLine, site: Path
) -> None:
    (site / "run.py").write_text("")
    ran = balsam.ok("app", "--name", "sim", "--exec", "./run.py -v", "--postp", "./post.sh", "--desc", "my", "app")
    assert "postprocess: no program" in ran.err
    assert "executable" not in ran.err
    (app,) = balsam.ok("ls", "apps", "--json").json["apps"]
    assert app["executable"] == f"{shlex.quote(sys.executable)} {site}/run.py -v"
    assert (app["postprocess"], app["description"]) == (f"{site}/post.sh", "my app")


def test_a_child_waits_for_the_job_that_makes_it(
    balsam: CommandLine, hello: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = balsam.add("parent")
    refused = balsam("mkchild", "--name", "child", "--app", "hello", "--yes")
    assert (refused.code, refused.err[:31]) == (1, "balsam: BALSAM_JOB_ID is not se")
    monkeypatch.setenv("BALSAM_JOB_ID", parent)
    balsam.ok("mkchild", "--name", "child", "--app", "hello", "--yes")
    (child,) = balsam.jobs("--name", "child")
    assert (child["workflow"], child["parents"]) == ("w", [parent])
    history = balsam.ok("ls", "--name", "child", "--history").out
    assert f"spawned by [parent | {parent[:8]}]" in history


def test_dependencies_show_as_a_tree_and_circles_are_refused(balsam: CommandLine, hello: Path) -> None:
    first, second = balsam.add("first"), balsam.add("second")
    balsam.ok("dep", first[:8], second[-12:])
    refused = balsam("dep", second, first)
    assert (refused.code, "circular dependency" in refused.err) == (1, True)
    assert balsam.ok("ls", "--tree").out.splitlines() == [
        f"|- [first | {first[:8]}] CREATED",
        f"    |- [second | {second[:8]}] CREATED",
    ]


def test_the_listing_has_the_columns_of_balsam_and_those_asked_for(
    balsam: CommandLine, hello: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert balsam.ok("ls").out == "No jobs found matching query\n"
    job_id = balsam.add("a", "--num-nodes", "2")
    balsam.add("b")
    monkeypatch.setenv("BALSAM_LS_FIELDS", "num_nodes:tags")
    monkeypatch.setenv("BALSAM_LS_LIMIT", "1")
    ran = balsam.ok("ls", "jobs")
    header, _, line = ran.out.splitlines()
    assert [cell.strip() for cell in header.split(" | ")] == [
        *("job_id", "name", "workflow", "application", "state"),
        *("num_nodes", "tags"),
    ]
    assert [cell.strip() for cell in line.split(" | ")] == [job_id, "a", "w", "hello", "CREATED", "2", "{}"]
    assert ran.err == "showing 1 of 2 jobs; --limit or BALSAM_LS_LIMIT sets how many\n"
    assert balsam.ok("ls", "--by-states").out == "         CREATED  2\n"
    assert balsam.ok("ls", "--by-states", "--json").json["states"] == {"CREATED": 2}
    assert balsam.ok("ls", "wf", "--json").json["workflows"] == [
        {"workflow": "w", "total": 2, "states": {"CREATED": 2}}
    ]


@pytest.mark.parametrize(
    "listing",
    [["jobs"], ["jobs", "--by-states"], ["jobs", "--history"], ["jobs", "--tree"], ["apps"], ["wf"], ["launchers"]],
)
def test_every_listing_speaks_json_with_a_version(balsam: CommandLine, hello: Path, listing: list[str]) -> None:
    balsam.add("a")
    assert balsam.ok("ls", *listing, "--json").json["schema_version"] == 1


def test_filters_choose_jobs_by_name_id_workflow_state_and_tag(balsam: CommandLine, hello: Path) -> None:
    first = balsam.add("alpha", "--tag", "kind=x")
    second = balsam.add("beta", "--tag", "kind=y", "--workflow", "other")

    def found(*filters: str) -> list[str]:
        return [job["name"] for job in balsam.jobs(*filters)]

    assert found("--name", "lph") == ["alpha"]
    assert found("--id", second[:8]) == ["beta"]
    assert found("--wf", "o*") == ["beta"]
    assert found("--state", "created,failed") == ["alpha", "beta"]
    assert found("--state", "FAILED") == []
    assert found("--tag", "kind") == ["alpha", "beta"]
    assert found("--tag", "kind=x") == ["alpha"]
    assert found("--id", first, "--id", second) == ["alpha", "beta"]


@pytest.mark.parametrize("command", ["launcher", "submit-launch -n 1 -t 5 --dry-run"])
def test_a_part_of_a_workflow_s_name_is_taken_with_a_warning(balsam: CommandLine, hello: Path, command: str) -> None:
    for workflow in ("scan2", "scan1", "other"):
        balsam.add("a", "--workflow", workflow)
    warning = "balsam: warning: no job has the workflow 'scan'; taken are those whose name holds it: scan1, scan2\n"
    assert balsam.ok(*command.split(), "--wf-filter", "scan").err.startswith(warning)
    assert "balsam: warning" not in balsam.ok(*command.split(), "--wf-filter", "scan1").err
    assert "balsam: warning" not in balsam.ok(*command.split(), "--wf-filter", "scan*").err


def test_a_file_of_jobs_is_added_as_one(balsam: CommandLine, hello: Path) -> None:
    rows = ["name,args,num_nodes,environ_vars,tags,data", 'a,x y,2,A=1:B=/x:/y,k=v,"{""n"": 1}"', "b,,,,,"]
    (hello / "jobs.csv").write_text("\n".join(rows))
    ran = balsam.ok("job", "--from-file", "jobs.csv", "--workflow", "w", "--application", "hello", "--yes")
    assert ran.out == "Added 2 jobs from jobs.csv\n"
    first, second = balsam.jobs()
    assert (first["args"], first["num_nodes"], first["environ_vars"]) == ("x y", 2, {"A": "1", "B": "/x:/y"})
    assert (first["tags"], first["data"], second["num_nodes"]) == ({"k": "v"}, {"n": 1}, 1)


def test_a_listing_takes_the_filters_of_what_it_lists_and_refuses_others(balsam: CommandLine, hello: Path) -> None:
    balsam.ok("app", "--name", "other", "--executable", "true")
    ids = {app["name"]: app["app_id"] for app in balsam.ok("ls", "apps", "--json").json["apps"]}
    listed = balsam.ok("ls", "apps", "--id", ids["other"][:8], "--json").json["apps"]
    assert [app["name"] for app in listed] == ["other"]
    for listing in (["apps", "--wf", "w"], ["launchers", "--wf", "w"], ["queues", "--state", "FAILED"]):
        assert balsam("ls", *listing).code == 2


def test_a_limit_holds_for_the_tree_too(balsam: CommandLine, hello: Path) -> None:
    balsam.ok("make_dummies", "3")
    ran = balsam.ok("ls", "--tree", "--limit", "2")
    assert (ran.out.count("\n"), ran.err) == (2, "showing 2 of 3 jobs; --limit or BALSAM_LS_LIMIT sets how many\n")
    listed = balsam.ok("ls", "--tree", "--limit", "2", "--json").json
    assert (listed["total"], len(listed["jobs"])) == (3, 2)


def test_a_working_directory_is_from_the_current_folder_however_it_is_given(balsam: CommandLine, hello: Path) -> None:
    here = str(hello / "here")
    (hello / "jobs.csv").write_text("name,user_workdir\nb,here\n")
    (hello / "jobs.jsonl").write_text('{"name": "c", "user_workdir": "here"}\n')
    balsam.add("a", "--user-workdir", "here")
    for file in ("jobs.csv", "jobs.jsonl"):
        balsam.ok("job", "--from-file", file, "--workflow", "w", "--application", "hello", "--yes")
    balsam.ok("modify", balsam.add("d"), "user_workdir", "here")
    assert [(job["name"], job["working_directory"]) for job in balsam.jobs()] == [(name, here) for name in "abcd"]


def test_the_same_file_can_be_added_twice_when_existing_jobs_are_skipped(balsam: CommandLine, hello: Path) -> None:
    fields = [{"name": name, "workflow": "w", "application": "hello"} for name in "abc"]
    (hello / "jobs.jsonl").write_text("\n".join(map(json.dumps, fields)))
    balsam.add("b")
    for added in (2, 0):
        ran = balsam.ok("job", "--from-file", "jobs.jsonl", "--skip-existing", "--yes")
        assert ran.out == f"Added {added} jobs from jobs.jsonl, skipped {3 - added} that were there already\n"
    assert len(balsam.jobs()) == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("j.csv", "name,aplication\na,hello", "line 1: a job has no field 'aplication'; did you mean 'application'?"),
        ("j.csv", "name,name\na,b", "line 1: the column 'name' is there twice"),
        ("j.csv", "name,num_nodes\na,1\nb,x", "line 3: num_nodes cannot be 'x': should be a valid integer"),
        ("j.csv", "name,args\na,x\nb", "line 3: 1 cells for 2 columns"),
        ("j.csv", "name,application\na,hello\nb,helo", "line 3: no application named 'helo'; did you mean 'hello'?"),
        ("j.csv", "name,data\na,{", "line 2: data cannot be '{': it is not JSON"),
        ("j.csv", "args\na", "line 2: name is missing"),
        ("j.jsonl", '{"name": "a"}\n\n{"name":', "line 3: not JSON"),
        ("j.jsonl", '{"name": "a"}\n[]', "line 2: not a JSON object"),
        ("j.jsonl", '{"name": "a", "nmae": 1}', "line 1: a job has no field 'nmae'; did you mean 'name'?"),
        (
            "j.jsonl",
            '{"name": "a"}\n{"name": "b", "parents": ["00000000-0000-4000-8000-000000000000"]}',
            "line 2: no job has the id 00000000-0000-4000-8000-000000000000, given in parents",
        ),
    ],
)
def test_one_wrong_row_adds_nothing_and_is_named(
    balsam: CommandLine, hello: Path, name: str, text: str, message: str
) -> None:
    (hello / name).write_text(text)
    ran = balsam("job", "--from-file", name, "--workflow", "w", "--app", "hello", "--yes")
    assert (ran.code, ran.err[: len(message) + 14]) == (1, f"balsam: {name} {message}"[: len(message) + 14])
    assert ran.err.endswith("nothing was added\n")
    assert balsam.jobs() == []


def test_dummies_need_no_application_of_their_own(balsam: CommandLine, site: Path) -> None:
    assert balsam.ok("make_dummies", "3").out == "Added 3 jobs of the app dummy\n"
    balsam.ok("make_dummies", "2")
    assert [job["application"] for job in balsam.jobs()] == ["dummy"] * 5
