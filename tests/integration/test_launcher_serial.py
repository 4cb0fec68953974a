"""Jobs of one process under `balsam launcher --job-mode serial`: what they get, and what becomes of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.launching import PLAIN, Site, marked, most_at_once, temporary_site

SHOW = """
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd(), "group": os.getpgid(0),
                  "pid": os.getpid(), "cpus": sorted(os.sched_getaffinity(0))}))
"""
SPAN = """
import os, sys, time
start = time.monotonic()
time.sleep(float(sys.argv[1]))
print(start, time.monotonic(), *sorted(os.sched_getaffinity(0)))
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        yield site


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site after one launcher has run jobs that print what they were given; see `report`."""
    with temporary_site(tmp_path_factory.mktemp("shown")) as site:
        site.app("show", site.program("show.py", SHOW))
        (site.folder / "set.env").write_text("export FROM_ENVSCRIPT='x y'\n")
        site.app("in-env", site.program("show.py", SHOW), envscript=str(site.folder / "set.env"))
        site.app("to-file", f"{site.program('show.py', SHOW)} > shown.json", envscript=str(site.folder / "set.env"))
        parent = site.add("plain", application="show", threads_per_rank=3, environ_vars={"OWN": "a=b:c", "SHELL": "me"})
        site.add("child", application="show", parents=(parent,), input_files="")
        site.add(
            "words", application="show", args="""'{"e0": 10.0, "e1": 3}' --path ~/x ~nobody-at-all/y "a  b" $HOME"""
        )
        site.add("env", application="in-env", args="'x  y' $HOME")
        site.add("redirected", application="to-file", args="a")
        site.add("  blanks in  name ", application="show")
        site.add("elsewhere", application="show", user_workdir=str(site.folder / "else where"))
        site.run("--gpus-per-node", "4", FROM_LAUNCHER="inherited", PMI_RANK="3")
        yield site


def report(site: Site, name: str) -> dict[str, Any]:
    """What the job of that name printed about itself."""
    (job,) = [job for job in site.store.jobs() if job.name.strip() == name]
    found: dict[str, Any] = json.loads(site.output(job.job_id))
    return found


def job_named(site: Site, name: str) -> str:
    return str(next(job.job_id for job in site.store.jobs() if job.name.strip() == name))


def test_a_plain_job_goes_through_these_states_and_no_others(shown: Site) -> None:
    for job in shown.store.jobs():
        waits = ["AWAITING_PARENTS", "READY"] if job.name == "child" else []
        assert shown.history(job.job_id) == [PLAIN[0], *waits, *PLAIN[1:]]
        assert (job.attempt, job.exit_code, job.launcher_id, job.pid) == (1, 0, None, None)


def test_a_job_gets_the_variables_of_balsam(shown: Site) -> None:
    environ = report(shown, "plain")["environ"]
    wanted = {
        "BALSAM_JOB_ID": job_named(shown, "plain"),
        "BALSAM_PARENT_IDS": "[]",
        "BALSAM_DB_PATH": str(shown.folder),
        "BALSAM_LAUNCHER_NODES": "1",
        "BALSAM_JOB_MODE": "serial",
        "BALSAM_ATTEMPT": "1",
        "OMP_NUM_THREADS": "3",
    }
    assert {name: environ.get(name) for name in wanted} == wanted


def test_a_child_gets_the_ids_of_its_parents_as_json(shown: Site) -> None:
    assert json.loads(report(shown, "child")["environ"]["BALSAM_PARENT_IDS"]) == [job_named(shown, "plain")]


def test_a_job_inherits_the_environment_of_the_launcher_and_its_own_variables_win(shown: Site) -> None:
    environ = report(shown, "plain")["environ"]
    assert (environ["FROM_LAUNCHER"], environ["OWN"], environ["SHELL"]) == ("inherited", "a=b:c", "me")
    assert "PMI_RANK" not in environ


def test_a_job_that_has_a_node_for_itself_sees_all_its_gpus(shown: Site) -> None:
    assert report(shown, "plain")["environ"]["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"


def test_arguments_in_quotes_stay_one_word_and_no_shell_reads_them(shown: Site) -> None:
    home = shown.environ["HOME"]
    argv = ['{"e0": 10.0, "e1": 3}', "--path", f"{home}/x", "~nobody-at-all/y", "a b", "$HOME"]
    assert report(shown, "words")["argv"] == argv


def test_an_envscript_is_sourced_and_the_arguments_are_not_read_by_its_shell(shown: Site) -> None:
    assert report(shown, "env")["environ"]["FROM_ENVSCRIPT"] == "x y"
    assert report(shown, "env")["argv"] == ["x y", "$HOME"]


def test_an_application_with_an_envscript_may_send_its_output_into_a_file(shown: Site) -> None:
    (file,) = (shown.folder / "data" / "test").glob("redirected_*/shown.json")
    assert json.loads(file.read_text())["argv"] == ["a"]


def test_a_job_leads_a_process_group_of_its_own(shown: Site) -> None:
    assert report(shown, "plain")["group"] == report(shown, "plain")["pid"]


def test_blanks_in_a_name_are_underscores_in_its_folder_and_its_output(shown: Site) -> None:
    folder = Path(report(shown, "blanks in  name")["cwd"])
    assert folder == shown.folder / "data" / "test" / f"blanks_in__name_{job_named(shown, 'blanks in  name')[:8]}"
    assert [file.name for file in folder.iterdir()] == ["blanks_in__name.out"]


def test_a_user_may_choose_the_working_directory(shown: Site) -> None:
    assert report(shown, "elsewhere")["cwd"] == str(shown.folder / "else where")


def test_jobs_that_share_a_node_get_cores_of_their_own_and_never_too_many_run(site: Site) -> None:
    site.app("span", site.program("span.py", SPAN))
    cpus = len(os.sched_getaffinity(0))
    jobs = [site.add(f"job{number}", application="span", args="0.3", node_packing_count=cpus) for number in range(6)]
    site.run()
    rows = [site.output(job).split() for job in jobs]
    spans = [(float(row[0]), float(row[1])) for row in rows]
    assert most_at_once(spans) == cpus
    for number, row in enumerate(rows):
        for other in range(number):
            if spans[other][0] < spans[number][1] and spans[number][0] < spans[other][1]:
                assert set(row[2:]).isdisjoint(rows[other][2:])


def test_gpus_are_given_to_one_job_at_a_time_and_hidden_from_jobs_that_ask_for_none(site: Site) -> None:
    script = "date +%s.%N; echo =$CUDA_VISIBLE_DEVICES; sleep 0.3; date +%s.%N"
    fields: dict[str, Any] = {"script": script, "node_packing_count": 8}
    ones = [site.add(f"one{number}", gpus_per_rank=1, **fields) for number in range(4)]
    none = site.add("none", gpus_per_rank=0, **fields)
    site.add("three", script, gpus_per_rank=3)
    launcher = site.run("--gpus-per-node", "2")
    assert site.output(none).split()[1] == "="
    rows = [site.output(job).split() for job in ones]
    assert {row[1] for row in rows} == {"=0", "=1"}
    assert most_at_once([(float(row[0]), float(row[2])) for row in rows]) == 2
    assert "left: 1 job: asks for 3 GPUs per node, the node has 2" in launcher.text


def test_memory_that_jobs_ask_for_is_not_given_twice(site: Site) -> None:
    half = psutil.virtual_memory().total // 2**20 * 6 // 10
    site.app("span", site.program("span.py", SPAN))
    fields: dict[str, Any] = {"application": "span", "args": "0.2", "node_packing_count": 2, "memory_mb": half}
    jobs = [site.add(f"job{number}", **fields) for number in range(3)]
    site.run()
    spans = [site.output(job).split() for job in jobs]
    assert most_at_once([(float(row[0]), float(row[1])) for row in spans]) == 1


def test_output_is_there_while_the_job_runs(site: Site) -> None:
    job = site.add("talker", "echo early; while ! test -e go; do sleep 0.05; done; echo late")
    launcher = site.start()
    site.wait_output(job, "early")
    site.wait_state(job, "RUNNING")
    assert site.store.job(job).node
    (site.workdir(job) / "go").touch()
    assert launcher.wait() == 0
    assert site.output(job) == "early\nlate\n"


def test_what_cannot_run_here_is_left_with_its_reason(site: Site) -> None:
    ranks = site.add("ranks", ranks_per_node=2)
    long = site.add("long", wall_time_minutes=2)
    held = site.add("held", hold=True)
    waiting = site.add("waiting", parents=(held,))
    other = site.add("other", workflow="elsewhere")
    ready = site.add("ready", wall_time_minutes=1)
    launcher = site.run("--wf-filter", "te*", "--time-limit-minutes", "1.5")
    assert [site.state(job) for job in (ranks, long, held, other)] == ["PREPROCESSED"] * 3 + ["CREATED"]
    assert (site.state(waiting), site.state(ready)) == ("AWAITING_PARENTS", "JOB_FINISHED")
    left = {line.partition("left: ")[2] for line in launcher.text.splitlines() if "left: " in line}
    assert left == {
        "1 job: has 2 ranks; serial mode runs single processes, use --job-mode mpi",
        "1 job: needs 2 minutes, 1.5 are left",
        "1 job: on hold; release with `balsam release`",
        "1 job: waits for parents that have not finished",
    }


def test_jobs_start_by_priority_then_by_age(site: Site) -> None:
    log = site.folder / "order"
    for name, priority in (("first", 0), ("low", -1), ("second", 0), ("high", 5)):
        site.add(name, f"echo {name} >> {log}", priority=priority)
    site.run()
    assert log.read_text().split() == ["high", "first", "second", "low"]


def test_a_job_that_cannot_start_fails_alone_and_says_why(site: Site) -> None:
    site.app("ghost", str(site.folder / "no such program"))
    site.app("folder", str(site.folder))
    site.app("gone", "/bin/true")
    site.app("bare", "ls")
    wrong = {
        site.add("missing", application="ghost"): "no such file or directory",
        site.add("folder", application="folder"): "permission denied",
        site.add("quotes", application="sh", args="'it"): "cannot be split into words: No closing quotation",
        site.add("nodir", user_workdir="/proc/nowhere"): "cannot use the working directory: no such file",
        site.add("path", application="bare", environ_vars={"PATH": "/nowhere"}): "not found in PATH",
    }
    gone = site.add("gone", application="gone")
    unknown_user = site.add("tilde", "pwd", user_workdir="~nobody-at-all/x")
    fine = site.add("fine")
    site.store.delete_apps(["gone"])
    site.run()
    assert {job: site.state(job) for job in (*wrong, gone)} == dict.fromkeys((*wrong, gone), "FAILED")
    for job, words in wrong.items():
        assert words in site.message(job, "RUN_ERROR")
        assert (site.store.job(job).attempt, site.history(job)[-3:]) == (1, ["RUNNING", "RUN_ERROR", "FAILED"])
    assert site.message(gone, "FAILED") == "no application named gone"
    assert [site.state(job) for job in (fine, unknown_user)] == ["JOB_FINISHED"] * 2


def test_a_failed_job_keeps_its_exit_code_and_the_end_of_its_output(site: Site) -> None:
    job = site.add("bad", "echo on the way; echo the trouble >&2; exit 7")
    killed = site.add("killed", "kill -9 $$")
    child = site.add("child", parents=(job,))
    site.run()
    assert site.history(job)[-2:] == ["RUN_ERROR", "FAILED"]
    assert site.message(job, "RUN_ERROR") == "nonzero return 7: on the way\nthe trouble"
    assert (site.store.job(job).exit_code, site.store.job(killed).exit_code) == (7, -9)
    assert site.state(child) == "FAILED"
    assert f"its parent bad [{str(job)[:8]}] is FAILED" in site.message(child, "FAILED")


def test_a_job_with_a_retry_code_is_run_again_so_often_and_each_attempt_is_recorded(site: Site) -> None:
    count = "echo $BALSAM_ATTEMPT >> n; "
    again = ["RUNNING", "RUN_ERROR", "RESTART_READY"]
    flaky = site.add("flaky", count + "test $BALSAM_ATTEMPT = 3 || exit 5")
    hopeless = site.add("hopeless", count + "kill -9 $$")
    other = site.add("other", count + "exit 6")
    own = site.add("own", count + "exit 5", max_retries=0)
    site.run(BALSAM_LAUNCHER__RETRY_CODES="[5, -9]", BALSAM_LAUNCHER__MAX_RETRIES="2")
    assert site.history(flaky) == [*PLAIN[:2], *again, *again, *PLAIN[2:]]
    assert site.history(hopeless) == [*PLAIN[:2], *again, *again, "RUNNING", "RUN_ERROR", "FAILED"]
    starts = {job: (site.workdir(job) / "n").read_text().split() for job in (flaky, hopeless, other, own)}
    assert list(starts.values()) == [["1", "2", "3"], ["1", "2", "3"], ["1"], ["1"]]


def test_a_job_that_meets_its_own_timeout_is_restarted_so_often_and_its_children_end_with_it(site: Site) -> None:
    once = "test $BALSAM_ATTEMPT = 2 || sleep 60"
    slow = site.add("slow", once, timeout_seconds=0.3)
    stuck = site.add(
        "stuck",
        "trap '' TERM; setsid sleep 60 & sleep 60",
        timeout_seconds=0.3,
        environ_vars={"MARK": str(site.folder)},
    )
    no_retry = site.add("no-retry", "sleep 60", timeout_seconds=0.3, auto_timeout_retry=False)
    site.run(BALSAM_LAUNCHER__TIMEOUT_RETRIES="1", BALSAM_LAUNCHER__STOP_GRACE_SECONDS="0.3")
    again = ["RUNNING", "RUN_TIMEOUT", "RESTART_READY"]
    assert site.history(slow) == [*PLAIN[:2], *again, *PLAIN[2:]]
    assert site.history(stuck) == [*PLAIN[:2], *again, "RUNNING", "RUN_TIMEOUT", "FAILED"]
    assert site.history(no_retry)[2:] == ["RUNNING", "RUN_TIMEOUT", "FAILED"]
    assert site.message(slow, "RUN_TIMEOUT") == "met its timeout_seconds"
    assert marked(str(site.folder)) == []


ADDS_CHILDREN = """
from balsam.launcher import dag
for number in range(3):
    dag.add_job(name=f"eval{number}", workflow="test", application="true")
child = dag.spawn_child(name="child", application="true", args="", input_files="")
dag.current_job.data["added"] = 3
dag.current_job.save()
print(dag.LAUNCHER_NODES, dag.JOB_ID == dag.current_job.job_id)
"""


def test_a_job_that_adds_jobs_sees_them_run_in_the_same_launcher(site: Site) -> None:
    site.app("driver", site.program("driver.py", ADDS_CHILDREN))
    driver = site.add("driver", application="driver")
    site.run()
    assert site.output(driver) == "1 True\n"
    assert sorted(job.name for job in site.store.jobs()) == ["child", "driver", "eval0", "eval1", "eval2"]
    assert site.states() == {"JOB_FINISHED": 5}
    assert site.store.job(driver).data == {"added": 3}


def test_a_driver_that_waits_for_the_jobs_it_added_gets_them_run_beside_it(site: Site) -> None:
    waits = """
import time
from balsam.launcher import dag
dag.add_job(name="eval", workflow="test", application="true", node_packing_count=2)
deadline = time.monotonic() + 30
while not dag.BalsamJob.objects.filter(name="eval", state="JOB_FINISHED").exists():
    assert time.monotonic() < deadline
    time.sleep(0.05)
"""
    site.app("driver", site.program("driver.py", waits))
    driver = site.add("driver", application="driver", node_packing_count=2)
    site.run()
    assert site.state(driver) == "JOB_FINISHED"


def test_jobs_of_many_sizes_all_end(site: Site) -> None:
    for number, packing in enumerate((1, 2, 3, 7, 64) * 8):
        site.add(f"job{number}", "sleep 0.0$BALSAM_ATTEMPT", node_packing_count=packing)
    began = time.monotonic()
    site.run()
    assert site.states() == {"JOB_FINISHED": 40}
    assert time.monotonic() - began < 20


def test_letters_that_the_launchers_locale_lacks_cost_no_other_job(site: Site) -> None:
    site.app("prepared", "/bin/true", preprocess="/bin/echo 日")
    variable = site.add("variable", "exit 0", environ_vars={"DAY": "日"})
    script = site.add("script 日", application="prepared")
    plain = site.add("plain", "exit 0")
    site.run(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "the locale has no letter '日', which DAY holds" in site.message(variable, "RUN_ERROR")
    assert site.message(script, "FAILED").startswith("the launcher's locale has no letter '日'")
    assert site.history(plain) == PLAIN
