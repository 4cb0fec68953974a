"""What explanations are made from, as a site has it."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from balsam_core.errors import JobNotFound, JobSpecError
from balsam_core.explain.collect import Collector
from balsam_core.explain.facts import Excerpt, HeldJob, Relative
from balsam_core.explain.plain import plain
from balsam_core.models.app import AppSpec
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End
from balsam_core.workdirs import Workdirs
from tests.batching import Played, played_site
from tests.helpers import MACHINE, claim, finish, make_launcher, put, running, temporary_store


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """A site whose scheduler is played, and whose lease clock stands at 1000."""
    return played_site(tmp_path, temporary_store(tmp_path), monkeypatch)


def collector(played: Played) -> Collector:
    return Collector(played.site, played.settings, played.store, MACHINE, time.time())


def facts_of(played: Played, job_id: UUID) -> Any:
    return collector(played).job(str(job_id)[:12])


def test_the_parents_and_the_application_of_a_job(played: Played) -> None:
    parent = put(played.store, name="mother", hold=True)
    facts = facts_of(played, put(played.store, parents=(parent,)))
    assert facts.parents == (Relative(parent, "mother", State.CREATED, hold=True),)
    assert facts.app.name == "true"
    assert (facts.moves[0].to_state, facts.holder, facts.launchers, facts.output) == ("CREATED", None, (), None)


def test_an_application_that_was_deleted_and_programs_that_are_not_here(played: Played) -> None:
    played.store.add_app(AppSpec(name="sim", executable="no-such-sim"))
    job_id = put(played.store, application="sim")
    assert facts_of(played, job_id).missing == ("the executable cannot run: no program 'no-such-sim' here or on PATH",)
    played.store.delete_apps(["sim"])
    assert (facts_of(played, job_id).app, facts_of(played, job_id).missing) == (None, ())


def test_the_first_that_failed_of_those_above(played: Played) -> None:
    store = played.store
    launcher = make_launcher(store)
    eve = running(store, launcher, "eve")
    child = put(store, name="child", parents=(eve.job_id,))
    grandchild = put(store, name="grandchild", parents=(child,))
    finish(store, launcher, eve, End.ERROR, exit_code=1)
    store.advance()
    assert facts_of(played, grandchild).root == Relative(eve.job_id, "eve", State.FAILED)
    assert facts_of(played, eve.job_id).root is None


def test_who_holds_it_who_else_lives_and_what_their_jobs_take(played: Played) -> None:
    store = played.store
    busy, idle = make_launcher(store, nodes=2, wf_filter="test"), make_launcher(store)
    job = running(store, busy, "a", node_packing_count=4)
    running(store, busy, "b")
    facts = facts_of(played, job.job_id)
    assert (facts.holder.launcher_id, facts.holder.held) == (busy, {State.RUNNING: 2})
    assert (facts.holder.nodes_taken, facts.holder.most_seconds_left) == (Fraction(5, 4), None)
    assert [one.launcher_id for one in facts.launchers] == [busy, idle]


def test_a_dead_launcher_is_a_holder_but_none_that_lives(played: Played) -> None:
    dead = make_launcher(played.store, lease_seconds=10.0, machine_id="elsewhere")
    job = running(played.store, dead)
    played.clock += 11
    facts = facts_of(played, job.job_id)
    assert (facts.holder.over, facts.holder.is_live) == ("no heartbeat for 11 s", False)
    assert (facts.holder.silent_seconds, facts.launchers) == (None, ())


def test_the_service_is_no_launcher(played: Played) -> None:
    service = make_launcher(played.store, job_mode="service")
    facts = facts_of(played, put(played.store))
    assert (facts.launchers, facts.service.launcher_id) == ((), service)


def test_only_runnable_jobs_that_come_first_are_counted(played: Played) -> None:
    store = played.store
    put(store, State.PREPROCESSED, priority=1)
    put(store, State.PREPROCESSED, num_nodes=2)
    older = put(store, State.RESTART_READY)
    put(store, State.PREPROCESSED, hold=True)
    put(store, State.READY, priority=5)
    job_id = put(store, State.PREPROCESSED)
    put(store, State.PREPROCESSED)
    assert (facts_of(played, job_id).ahead, facts_of(played, older).ahead) == (3, 2)


def test_open_batch_jobs_without_a_launcher_may_bring_one(played: Played) -> None:
    waiting, begun = played.submit(time_limit_minutes=10), played.submit(time_limit_minutes=10)
    launcher = make_launcher(played.store, launch_id=begun.launch_id)
    facts = facts_of(played, put(played.store, State.PREPROCESSED, wall_time_minutes=30))
    assert [(one.job.number, one.usable_seconds) for one in facts.launches] == [(waiting.number, 565.0)]
    (lives,) = facts.launchers
    assert (lives.launcher_id, lives.batch_job.number) == (launcher, begun.number)
    assert 560 < lives.most_seconds_left < 566
    assert facts.minutes == 32


def test_the_ends_of_output_and_logs(played: Played) -> None:
    launcher = make_launcher(played.store)
    job = running(played.store, launcher)
    output = Workdirs(played.site.data).output_of(job)
    output.parent.mkdir(parents=True)
    output.write_text("".join(f"{number}\n" for number in range(20)))
    assert facts_of(played, job.job_id).output == Excerpt(
        "the end of its output", str(output), tuple(map(str, range(10, 20)))
    )


def test_the_log_is_that_of_the_script_that_failed(played: Played) -> None:
    store = played.store
    job_id = put(store, State.STAGED_IN, application="scripted")
    launcher = make_launcher(store)
    (job,) = store.claim_work(launcher, "", 1)
    log = Workdirs(played.site.data).of(job) / "preprocess.log"
    log.parent.mkdir(parents=True)
    log.write_text("bad input\n")
    shown = Excerpt("the end of its script's log", str(log), ("bad input",))
    assert facts_of(played, job_id).script_log == shown
    store.finish_work(launcher, job, State.FAILED, "preprocess ended with exit code 2")
    assert facts_of(played, job_id).script_log == shown


def test_the_log_of_staging_is_shown_when_that_failed(played: Played) -> None:
    store = played.store
    job_id = put(store, State.READY, stage_in_url="local:/nowhere")
    launcher = make_launcher(store)
    (job,) = store.claim_work(launcher, "", 1)
    log = Workdirs(played.site.data).of(job) / "staging.log"
    log.parent.mkdir(parents=True)
    log.write_text("nothing is there\n")
    store.finish_work(launcher, job, State.FAILED, "stage in failed")
    assert facts_of(played, job_id).script_log == Excerpt(
        "the end of its staging's log", str(log), ("nothing is there",)
    )


def test_a_batch_job_with_its_history_its_launchers_and_what_it_would_run(played: Played) -> None:
    put(played.store, State.PREPROCESSED)
    job = played.submit(nodes=1, time_limit_minutes=10, wf_filter="test")
    make_launcher(played.store, launch_id=job.launch_id)
    put(played.store, State.PREPROCESSED, wall_time_minutes=60)
    put(played.store, State.READY)
    put(played.store, State.PREPROCESSED, workflow="other")
    Path(f"{job.output_prefix}.out").write_text("hello\n")
    facts = collector(played).launch("7", {"played": "timed out"})
    assert (facts.problem, facts.looked_at, facts.fits) == ("timed out", 2, 1)
    assert facts.refused == {"the job needs 60 minutes, 9.4 are left": 1}
    assert facts.would_run == {State.READY: 1, State.PREPROCESSED: 2}
    assert [one.batch_job.number for one in facts.launchers if one.batch_job] == [1]
    assert [move.to_state for move in facts.moves] == ["QUEUED"]
    assert facts.moves[0].command.startswith("playsub ")
    assert [(one.file, one.lines) for one in facts.outputs] == [(f"{job.output_prefix}.out", ("hello",))]


def test_a_launcher_with_its_jobs_and_its_log(played: Played) -> None:
    launcher = make_launcher(played.store, pid=1)
    job = running(played.store, launcher)
    put(played.store, State.PREPROCESSED, "next")
    (waiting,) = claim(played.store, launcher)
    played.site.log.mkdir()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(time.time() - 20))
    (played.site.log / f"launcher-{stamp}-1.log").write_text("started\n")
    (played.site.log / "launcher-20010101-000000-1.log").write_text("long ago\n")
    (played.site.log / "launcher-mine-1.log").write_text("another name\n")
    facts = collector(played).launcher(str(launcher)[:6])
    assert facts.jobs == (
        HeldJob(job.job_id, "job", State.RUNNING, "n1", 4711),
        HeldJob(waiting.job_id, "next", State.PREPROCESSED, "", None),
    )
    assert facts.log is not None
    assert facts.log.lines == ("started",)


def test_what_does_not_exist_is_refused_with_a_way_out(played: Played) -> None:
    one = make_launcher(played.store, launcher_id=UUID("aaaa0000-0000-4000-8000-000000000001"))
    two = make_launcher(played.store, launcher_id=UUID("aaaa0000-0000-4000-8000-000000000002"))
    with pytest.raises(JobSpecError, match="no launcher has the id 'b'; `balsam ls launchers --verbose` lists them"):
        collector(played).launcher("b")
    with pytest.raises(JobSpecError, match=f"the id 'aaaa' fits several launchers: {one}, {two}; give more of it"):
        collector(played).launcher("aaaa")
    with pytest.raises(JobNotFound):
        collector(played).job("1234")


def test_facts_as_json_have_moments_words_and_numbers() -> None:
    mixed = {
        State.READY: Fraction(1, 2),
        "state_at": 0.0,
        "id": UUID(int=1),
        "of": (Relative(UUID(int=2), "a", State.READY),),
    }
    assert plain(mixed) == {
        "READY": 0.5,
        "state_at": "1970-01-01T00:00:00+00:00",
        "id": str(UUID(int=1)),
        "of": [{"job_id": str(UUID(int=2)), "name": "a", "state": "READY", "hold": False}],
    }
