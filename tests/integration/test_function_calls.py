"""Functions as applications: what a worker does with its warm processes, and whole launchers over them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import balsam_core
from balsam_core.launcher import procfs, worker_client
from balsam_core.launcher.messages import Call, Ended, How, Need, Recalled, Refused, Started, Task
from balsam_core.launcher.sweep import sweep
from tests.integration import launching
from tests.integration.test_worker import LAUNCHER_ID, Site, is_alive, make_site, wait_until

ROOT = str(Path(balsam_core.__file__).parents[1])
MODULE = """
import os, signal, subprocess, sys, time
from pathlib import Path

with open(Path(__file__).with_name("imports"), "a") as file:
    file.write("imported\\n")

def told(*words):
    print(*words, os.getcwd(), os.environ["BALSAM_JOB_ID"], os.read(0, 1))
    return {"words": words, "pid": os.getpid(), "cpus": sorted(os.sched_getaffinity(0)),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "leads": os.getsid(0) == os.getpid()}

def fails():
    raise ValueError("what a pity")

def leaves(code):
    os._exit(int(code))

def family():
    # It ignores SIGTERM, and so does a child of it in a session of its own.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 300; true"], start_new_session=True)
    Path("child").write_text(f"{child.pid}\\n")
    Path("leader").write_text(f"{os.getpid()}\\n")
    time.sleep(300)

def abandons():
    child = subprocess.Popen(["sleep", "300"])
    Path("child").write_text(f"{child.pid}\\n")
    return os.getpid()

def sleeps(seconds):
    Path("leader").write_text(f"{os.getpid()}\\n")
    time.sleep(float(seconds))
    print("slept")

number = 3
"""
EACH = pytest.mark.parametrize("reuse", [False, True], ids=["fresh", "reused"])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "called.py").write_text(MODULE)
    site = make_site(tmp_path)
    with site.worker:
        yield site


def task(site: Site, key: str, function: str, *arguments: str, reuse: bool = False, **changes: object) -> Task:
    target = f"{site.folder}/called.py:{function}"
    own = {"BALSAM_JOB_ID": key}
    made = Task(
        key,
        [sys.executable, "-m", "balsam_core.function", target, *arguments],
        str(site.folder / "data" / key),
        "job.out",
        {"PYTHONPATH": ROOT, "BALSAM_RESULT_FILE": "job.result.json", **own},
        result="job.result.json",
        call=Call([sys.executable, "-m", "balsam_core.launcher.nursery", target], arguments, list(own), reuse),
    )
    return made._replace(**changes)  # type: ignore[arg-type]


def result(ended: Ended) -> dict[str, object]:
    found: dict[str, object] = json.loads(ended.result)
    return found


def imports(site: Site) -> int:
    return len((site.folder / "imports").read_text().splitlines())


def nurseries(site: Site) -> list[int]:
    return [one.pid for one in procfs.processes() if one.parent == site.worker.pid and not one.is_zombie]


@EACH
def test_calls_share_one_import_and_run_where_their_jobs_are(site: Site, reuse: bool) -> None:
    ended = site.run(*(task(site, f"{n}.1", "told", "a b", str(n), reuse=reuse) for n in range(3)))
    results = [result(one) for one in ended]
    assert [one["words"] for one in results] == [["a b", str(n)] for n in range(3)]
    assert len({str(one["pid"]) for one in results}) == (1 if reuse else 3)
    assert [one["leads"] for one in results] == [True] * 3
    assert imports(site) == 1
    assert site.output("2.1") == f"a b 2 {site.folder}/data/2.1 2.1 b''\n"
    assert site.wait(Started, "2.1").pid == results[2]["pid"]


@EACH
def test_a_call_that_raises_has_its_traceback_in_the_output(site: Site, reuse: bool) -> None:
    (ended,) = site.run(task(site, "a.1", "fails", reuse=reuse))
    assert (ended.code, ended.how, ended.result) == (1, How.EXITED, "")
    assert ended.tail == site.output("a.1")
    assert ended.tail.endswith('in fails\n    raise ValueError("what a pity")\nValueError: what a pity\n')
    assert "balsam_core" not in ended.tail


@EACH
def test_a_call_that_ends_its_process_has_that_exit_code_and_others_go_on(site: Site, reuse: bool) -> None:
    ended = site.run(*(task(site, f"{code}.1", "leaves", str(code), reuse=reuse) for code in (0, 3, 4)))
    assert [one.code for one in ended] == [0, 3, 4]
    assert imports(site) == 1


@EACH
def test_a_call_that_meets_its_timeout_is_ended_with_all_that_it_started(site: Site, reuse: bool) -> None:
    slow = task(site, "a.1", "family", reuse=reuse, timeout_seconds=0.5)
    site.worker.start([slow])
    leader, child = site.pid("a.1", "leader"), site.pid("a.1", "child")
    ended = site.wait(Ended, "a.1")
    assert (ended.code, ended.how) == (-signal.SIGKILL, How.TIMED_OUT)
    wait_until(lambda: not is_alive(leader) and not is_alive(child))
    assert site.run(task(site, "b.1", "told", reuse=reuse))[0].code == 0


@EACH
def test_a_killed_call_is_ended_with_all_that_it_started(site: Site, reuse: bool) -> None:
    site.worker.start([task(site, "a.1", "family", reuse=reuse)])
    leader, child = site.pid("a.1", "leader"), site.pid("a.1", "child")
    site.worker.kill(["a.1"], 0.2)
    assert site.wait(Ended, "a.1").how is How.KILLED
    wait_until(lambda: not is_alive(leader) and not is_alive(child))


@EACH
def test_what_a_call_leaves_running_ends_with_it(site: Site, reuse: bool) -> None:
    first, second = site.run(*(task(site, key, "abandons", reuse=reuse) for key in ("a.1", "b.1")))
    for key in ("a.1", "b.1"):
        child = site.pid(key, "child")
        wait_until(lambda child=child: not is_alive(child))  # type: ignore[misc]
    assert first.result != second.result


@EACH
def test_calls_get_their_own_cores_and_gpus(tmp_path: Path, reuse: bool) -> None:
    (tmp_path / "called.py").write_text(MODULE)
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        pytest.skip("this host has one core")
    site = make_site(tmp_path, cpus=tuple(cpus), gpus=("7", "8"))
    with site.worker:
        ended = site.run(*(task(site, f"{n}.1", "told", reuse=reuse, need=Need(packing=2)) for n in range(6)))
        results = [result(one) for one in ended]
        for one, started in zip(results, [site.wait(Started, f"{n}.1") for n in range(6)], strict=True):
            assert (one["cpus"], one["gpus"]) == (list(started.cpus), ",".join(started.gpus))
        whole = result(site.run(task(site, "whole.1", "told", reuse=reuse))[0])
        assert (set(cpus) <= set(whole["cpus"]), whole["gpus"]) == (True, "7,8")  # type: ignore[call-overload]


def test_a_call_whose_function_is_being_imported_can_be_killed(site: Site) -> None:
    (site.folder / "called.py").write_text("import time\ntime.sleep(300)\n")
    site.worker.start([task(site, "a.1", "told"), task(site, "b.1", "told")])
    wait_until(lambda: bool(nurseries(site)))
    site.worker.kill(["a.1"], 0)
    assert site.wait(Recalled, "a.1").reason == "killed before it started"
    site.worker.recall()
    assert "b.1" in site.wait(Recalled, "b.1").keys


def test_calls_of_a_function_whose_import_hangs_meet_their_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rest = worker_client._PROGRAM.split("from balsam_core", 1)
    hurry = "from balsam_core.launcher import nurseries\nnurseries._IMPORT_SECONDS = 0.5\n"
    monkeypatch.setattr(worker_client, "_PROGRAM", f"{path}{hurry}from balsam_core{rest}")
    (tmp_path / "called.py").write_text("import time\nprint('hangs', flush=True)\ntime.sleep(300)\n")
    site = make_site(tmp_path)
    with site.worker:
        (ended,) = site.run(task(site, "a.1", "told", timeout_seconds=0.5))
    assert (ended.how, ended.tail) == (How.TIMED_OUT, "hangs\n")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("called:number", "'called:number' is no function: it is of type int"),
        ("called:tolt", "'called' has no function 'tolt'; did you mean 'told'?"),
        ("called_not:told", "cannot import 'called_not': ModuleNotFoundError: No module named 'called_not'"),
    ],
)
def test_what_cannot_be_called_says_so_in_the_output(site: Site, target: str, said: str) -> None:
    call = Call([sys.executable, "-m", "balsam_core.launcher.nursery", target], [], ["BALSAM_JOB_ID"])
    made = task(site, "a.1", "", argv=[sys.executable, "-m", "balsam_core.function", target], call=call)
    made = made._replace(env={**made.env, "PYTHONPATH": f"{ROOT}:{site.folder}"})
    (ended,) = site.run(made)
    assert (ended.code, ended.tail.splitlines()[-1]) == (1, said)


@EACH
def test_a_nursery_that_cannot_fork_lets_its_calls_run_on(site: Site, reuse: bool) -> None:
    # As under the limit of processes of a user or a container.
    stingy = "import errno\nfork, forks = os.fork, []\ndef few():\n    forks.append(1)\n"
    stingy += "    if len(forks) == 2:\n        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))\n"
    (site.folder / "called.py").write_text(MODULE + stingy + "    return fork()\nos.fork = few\n")
    calls = [task(site, key, "sleeps", "0.5", reuse=reuse, need=Need(packing=3)) for key in ("a.1", "b.1", "c.1")]
    assert [one.code for one in site.run(*calls)] == [0, 0, 0]
    # The nursery, and the interpreter of the call that it could not fork.
    assert imports(site) == 2


def test_a_nursery_for_which_no_descriptors_are_left_stops_nothing_else(site: Site) -> None:
    site.run(task(site, "a.1", "told"))
    used = {int(one.name) for one in Path(f"/proc/{site.worker.pid}/fd").iterdir()}
    free = [number for number in range(100) if number not in used]
    limits = resource.prlimit(site.worker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(site.worker.pid, resource.RLIMIT_NOFILE, (free[3], limits[1]))
    site.worker.start([task(site, "b.1", "fails")])
    assert site.wait(Refused, "b.1").reason == "too many open files"
    resource.prlimit(site.worker.pid, resource.RLIMIT_NOFILE, limits)
    assert site.run(task(site, "c.1", "told"))[0].code == 0


@EACH
def test_a_call_outlives_its_nursery_and_its_end_is_reported(site: Site, reuse: bool) -> None:
    site.worker.start([task(site, "a.1", "sleeps", "1", reuse=reuse)])
    leader = site.pid("a.1", "leader")
    (nursery,) = nurseries(site)
    os.kill(nursery, signal.SIGKILL)
    assert site.wait(Ended, "a.1").code == 0
    wait_until(lambda: not is_alive(leader))
    # For a while after that calls get interpreters of their own.
    assert result(site.run(task(site, "b.1", "told", reuse=reuse))[0])["words"] == []
    assert imports(site) == 2


@EACH
def test_nothing_is_left_when_the_worker_is_killed(site: Site, reuse: bool) -> None:
    site.worker.start([task(site, "a.1", "sleeps", "300", reuse=reuse)])
    leader = site.pid("a.1", "leader")
    (nursery,) = nurseries(site)
    os.kill(site.worker.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(nursery) and not is_alive(leader))
    assert sweep(LAUNCHER_ID) == 0


@EACH
def test_a_sweep_ends_a_nursery_and_its_calls(site: Site, reuse: bool) -> None:
    site.worker.start([task(site, "a.1", "family", reuse=reuse)])
    leader, child = site.pid("a.1", "leader"), site.pid("a.1", "child")
    (nursery,) = nurseries(site)
    os.kill(nursery, signal.SIGSTOP)
    os.kill(site.worker.pid, signal.SIGKILL)
    assert sweep(LAUNCHER_ID) >= 3
    assert not any(is_alive(pid) for pid in (nursery, leader, child))


def test_the_runner_alone_calls_a_function_of_the_site(tmp_path: Path) -> None:
    (tmp_path / "called.py").write_text(MODULE)
    environ = {**os.environ, "PYTHONPATH": ROOT, "BALSAM_DB_PATH": str(tmp_path), "BALSAM_JOB_ID": "x"}
    command = [sys.executable, "-m", "balsam_core.function", "called:told", "a"]
    for rank, file in (("1", False), ("0", True)):
        environ |= {"BALSAM_RESULT_FILE": "r.json", "PMI_RANK": rank}
        done = subprocess.run(
            command, env=environ, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        assert done.stdout == f"a {tmp_path} x b''\n", done.stderr
        assert (tmp_path / "r.json").exists() is file


@EACH
def test_a_result_reaches_the_data_of_its_job_beside_what_the_job_wrote_there(tmp_path: Path, reuse: bool) -> None:
    with launching.temporary_site(tmp_path) as site:
        (site.folder / "called.py").write_text(
            "from balsam.launcher import dag\n\n"
            "def double(word):\n"
            "    dag.current_job.data['own'] = dag.current_job.name\n"
            "    dag.current_job.save()\n"
            "    return 2 * float(word)\n"
            "def odd():\n"
            "    return {1, 2}\n"
        )
        site.app("double", "called:double")
        site.app("odd", "called:odd")
        jobs = [site.add(f"d{n}", application="double", args=str(n), data={"old": n}) for n in range(3)]
        odd = site.add("odd", application="odd")
        site.run(BALSAM_LAUNCHER__FUNCTION_PROCESSES="reused" if reuse else "fresh")
        found = [site.store.job(job).data for job in jobs]
        assert found == [{"old": n, "own": f"d{n}", "result": 2.0 * n} for n in range(3)], site.story(jobs[0])
        assert (site.workdir(jobs[1]) / "d1.result.json").read_text() == "2.0"
        assert site.store.job(odd).data == {}
        assert (site.workdir(odd) / "odd.result.pickle").exists()


def test_a_launcher_records_a_call_that_cannot_be_made(tmp_path: Path) -> None:
    with launching.temporary_site(tmp_path) as site:
        site.app("gone", "no_such_module:run")
        job = site.add(application="gone")
        site.run()
        assert "cannot import 'no_such_module'" in site.message(job, "RUN_ERROR")
        assert "Traceback" in site.output(job)
