"""Batch jobs from submission to their end on a fake Cobalt and a fake PBS, and what schedulers do to them."""

from __future__ import annotations

import pytest

from tests.integration.clusters import HOLD, Cluster, make_cluster
from tests.postgres import PostgresServer

SUBMIT = (
    *("submit-launch", "-n", "4", "-q", "debug-cache-quad", "-t", "60", "-A", "datascience"),
    *("--job-mode", "serial", "--wf-filter", "TEST"),
)


@pytest.fixture(params=["cobalt", "pbs"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """A cluster with each scheduler."""
    return make_cluster(request, request.param)


@pytest.fixture
def pbs(request: pytest.FixtureRequest) -> Cluster:
    """A cluster with PBS, for what is the same with every scheduler."""
    return make_cluster(request, "pbs")


@pytest.mark.mpi
@pytest.mark.postgres
def test_what_a_user_types_runs_the_jobs_on_other_machines(cluster: Cluster, postgres_server: PostgresServer) -> None:
    database = f"on_{cluster.name}"
    postgres_server.run(f"CREATE DATABASE {database}")
    # The name of this host, which compute nodes know; the address is what it means here.
    url = postgres_server.url(database).replace("127.0.0.1", "login") + "?hostaddr=127.0.0.1"
    cluster.make_shared_site(url)
    cluster.app("where", 'echo "$BALSAM_MACHINE_ID"; sleep 1')
    cluster.add("where", "one", "two", "three")
    cluster.add("where", "another", workflow="OTHER")
    said = cluster.balsam.ok(*SUBMIT).out
    assert "It may run 3 jobs" in said
    cluster.wait(lambda: set(cluster.job_states("--wf", "TEST")) == {"JOB_FINISHED"})
    cluster.fake.wait_idle()
    (row,) = cluster.queues()
    shown = (row["state"], row["jobs_done"], row["nodes"], row["scheduler_id"])
    assert shown == ("ENDED", 3, 4, cluster.scheduler_id())
    assert cluster.job_states("--wf", "OTHER") == ["CREATED"]
    outputs = {file.read_text() for file in cluster.site.glob("data/TEST/*/*.out")}
    assert outputs == {f"{cluster.compute_machine}\n"}
    table = cluster.balsam.ok("ls", "queues", "--history").out
    assert cluster.scheduler_id() in table
    assert "three" in cluster.balsam.ok("ls", "--wf", "TEST").out


def test_a_site_that_compute_nodes_do_not_reach_is_refused(cluster: Cluster) -> None:
    cluster.balsam.ok("init", str(cluster.site))
    cluster.balsam.monkeypatch.chdir(cluster.site)
    ran = cluster.balsam("submit-launch", "-n", "1", "-t", "10", "--scheduler", cluster.name)
    assert ran.code == 1
    assert "balsam init PATH --database postgresql" in ran.err
    assert (cluster.fake.calls(), cluster.queues()) == ([], [])


def test_a_refusal_is_told_in_the_schedulers_own_words(cluster: Cluster) -> None:
    cluster.make_site()
    ran = cluster.balsam("submit-launch", "-n", "1", "-t", "10", "-q", "nosuch")
    words = {"cobalt": "trying to add job to non-existent queue 'nosuch'", "pbs": "qsub: Unknown queue"}[cluster.name]
    assert ran.code == 1
    assert words in ran.err
    (row,) = cluster.queues()
    assert (row["state"], words in row["reason"]) == ("REJECTED", True)


def test_cancelled_batch_jobs_give_their_jobs_back(cluster: Cluster) -> None:
    cluster.fake.configure(nodes=("1",))
    cluster.make_site()
    cluster.app("sleep", "sleep 300")
    cluster.add("sleep", "one")
    cluster.submit()
    cluster.wait(lambda: cluster.job_states() == ["RUNNING"])
    cluster.submit()
    assert cluster.launch_states() == ["RUNNING", "QUEUED"]
    cluster.balsam.ok("cancel-launch", "2", "--yes")
    cluster.balsam.ok("cancel-launch", "1", "--yes")
    cluster.fake.wait_idle()
    assert cluster.launch_states() == ["CANCELLED", "CANCELLED"]
    assert cluster.job_states() == ["RESTART_READY"]
    assert "launcher ended: received SIGTERM" in cluster.output()
    assert cluster.balsam("cancel-launch", "1", "--yes").code == 1


def test_a_launcher_ends_before_the_walltime(cluster: Cluster) -> None:
    cluster.make_site()
    cluster.app("sleep", "sleep 300")
    cluster.add("sleep", "one")
    # A walltime of less than a minute can only be asked for in the scheduler's own words.
    walltime = {"cobalt": "-t 00:00:12", "pbs": "-l walltime=00:00:12"}[cluster.name]
    cluster.submit("--sched-flags", walltime)
    cluster.wait(lambda: cluster.job_states() == ["RUNNING"])
    cluster.fake.wait_idle()
    assert [job.stopped for job in cluster.fake.jobs()] == [""]
    assert cluster.launch_states() == ["ENDED"]
    assert cluster.job_states() == ["RESTART_READY"]
    assert "launcher ended: the time limit is reached" in cluster.output()


def test_an_outage_changes_nothing_and_passes_by_itself(cluster: Cluster) -> None:
    cluster.make_site()
    cluster.submit(HOLD)
    words = {
        "cobalt": "component error: Failed to connect to queue-manager",
        "pbs": "Connection refused\nqstat: cannot connect to server vm (errno=15010)",
    }[cluster.name]
    cluster.fake.fault("REFUSE", words, "qstat")
    for _ in range(3):
        assert cluster.launch_states(400) == ["QUEUED"]
    assert words.splitlines()[-1] in cluster.balsam.ok("ls", "queues").err
    cluster.fake.heal()
    (row,) = cluster.queues(400)
    assert (row["state"], row["raw_state"]) == ("QUEUED", {"cobalt": "user_hold", "pbs": "H"}[cluster.name])
    assert cluster.balsam.ok("ls", "queues").err == ""


@pytest.mark.parametrize("answer", [{"GARBAGE": "<html>502 Bad Gateway</html>"}, {"EXIT_CODE": "3"}])
def test_an_answer_that_is_none_changes_nothing(cluster: Cluster, answer: dict[str, str]) -> None:
    cluster.make_site()
    cluster.submit(HOLD)
    for name, value in answer.items():
        cluster.fake.fault(name, value, "qstat")
    assert [cluster.launch_states(400) for _ in range(2)] == [["QUEUED"], ["QUEUED"]]
    assert "gave no answer" in cluster.balsam.ok("ls", "queues").err


def test_a_batch_job_that_the_scheduler_forgot_is_what_its_launcher_says(cluster: Cluster) -> None:
    cluster.make_site()
    go = cluster.folder / "go"
    cluster.app("wait", f"until test -e {go}; do sleep 0.1; done")
    cluster.add("wait", "one")
    cluster.submit()
    cluster.submit(HOLD)
    go.touch()
    cluster.wait(lambda: cluster.job_states() == ["JOB_FINISHED"])
    cluster.wait(lambda: cluster.fake.jobs()[0].state == "over")
    for log in (cluster.site / "qsubmit").glob("*.cobaltlog"):
        log.unlink()
    cluster.fake.fault("FORGET_AFTER_SECONDS", 0)
    assert cluster.launch_states() == ["ENDED", "QUEUED"]
    first, second = cluster.queues(200)
    assert (first["state"], "its launcher ended: nothing more can run" in first["reason"]) == ("ENDED", True)
    assert (second["state"], "does not know it any more" in second["reason"]) == ("LOST", True)


def test_a_submission_that_was_cut_off_is_found_and_never_repeated(cluster: Cluster) -> None:
    cluster.make_site()
    cluster.fake.fault("ANSWER_DELAY_SECONDS", 30, "qsub")
    submitter = cluster.start("submit-launch", "-n", "1", "-t", "10", HOLD)
    cluster.wait(lambda: bool(cluster.fake.jobs()))
    assert cluster.launch_states() == ["SUBMITTING"]
    submitter.kill()
    submitter.communicate()
    cluster.fake.heal()
    (row,) = cluster.queues()
    assert (row["state"], row["scheduler_id"]) == ("QUEUED", cluster.scheduler_id())
    assert len(cluster.fake.calls("qsub")) == 1


def test_a_command_that_cannot_run_says_so_and_nothing_was_submitted(cluster: Cluster) -> None:
    cluster.make_site()
    qsub = cluster.fake.bin / "qsub"
    qsub.chmod(0o644)
    assert "qsub: Permission denied" in cluster.balsam("submit-launch", "-n", "1", "-t", "10").err
    qsub.unlink()
    missing = cluster.balsam("submit-launch", "-n", "1", "-t", "10").err
    assert f"qsub: command not found, which the scheduler '{cluster.name}' needs" in missing
    assert "local" in missing
    assert cluster.launch_states() == ["REJECTED", "REJECTED"]


def test_what_became_of_a_submission_without_an_answer_is_found_out(cluster: Cluster) -> None:
    cluster.make_site()
    cluster.balsam.monkeypatch.setenv("BALSAM_SCHEDULER__COMMAND_TIMEOUT_SECONDS", "3")
    cluster.fake.fault("ANSWER_DELAY_SECONDS", 60, "qsub")
    hung = cluster.balsam("submit-launch", "-n", "1", "-t", "10", HOLD)
    assert (hung.code, "do not submit again" in hung.err) == (1, True)
    cluster.fake.heal()
    cluster.fake.fault("EXIT_CODE", 3, "qsub")
    silent = cluster.balsam("submit-launch", "-n", "1", "-t", "10")
    assert (silent.code, "3" in silent.err) == (1, True)
    assert cluster.launch_states() == ["QUEUED", "SUBMITTING"]
    assert cluster.launch_states(400) == ["QUEUED", "LOST"]


def test_ten_shells_ask_the_scheduler_once(pbs: Cluster) -> None:
    pbs.make_site()
    pbs.submit(HOLD)
    pbs.fake.fault("DELAY_SECONDS", 1, "qstat")
    shells = [pbs.start("ls", "queues") for _ in range(10)]
    said = [shell.communicate(timeout=100) for shell in shells]
    assert [shell.returncode for shell in shells] == [0] * 10
    assert all(pbs.scheduler_id() in out for out, _ in said)
    assert len(pbs.fake.calls("qstat")) == 1


def test_two_thousand_batch_jobs_are_asked_about_in_one_command(pbs: Cluster) -> None:
    pbs.make_site()
    pbs.submit(HOLD)
    pbs.multiply(2000)
    rows = pbs.queues()
    assert {(row["state"], row["raw_state"]) for row in rows} == {("QUEUED", "H")}
    assert (len(rows), len(pbs.fake.calls("qstat"))) == (2000, 1)
