"""The plugin keeps the contracts of balsam-core, and reads what Flux prints."""

from __future__ import annotations

import pytest

from balsam_core.plugins import BatchState, BatchStatus, CommandResult, SchedulerRejected, SchedulerUnavailable
from balsam_core.testing import (
    MpiLauncherContract,
    NodeSourceContract,
    PlayedProbe,
    SchedulerContract,
    a_launch,
    a_request,
)
from balsam_flux.mpi import FluxRun
from balsam_flux.nodes import FluxNodes
from balsam_flux.scheduler import Flux


class TestScheduler(SchedulerContract):
    scheduler = Flux()


class TestMpiLauncher(MpiLauncherContract):
    mpi_launcher = FluxRun()


class TestNodeSource(NodeSourceContract):
    node_source = FluxNodes()
    inside = PlayedProbe({"FLUX_ENCLOSING_ID": "f2WmjFUDK5"}, answers={"flux": "n1 n2 n2\n"})


def test_a_batch_job_is_submitted_with_its_paths_and_the_users_words() -> None:
    command = Flux(["system.a=1"]).submit_command(a_request(sched_flags=("--urgency=31",)), "/s.sh", False)
    assert command is not None
    assert command.argv == (
        "flux", "batch", "--cwd=/site/qsubmit", "--output=/site/qsubmit/qlaunch1.output",
        "--setattr", "system.a=1", "--urgency=31", "/s.sh",
    )  # fmt: skip


def test_ids_are_read_in_both_spellings_and_refusals_keep_their_words() -> None:
    assert Flux().parse_submit(CommandResult(("flux",), 0, "\u01922WmjFUDK5\n")) == "f2WmjFUDK5"
    with pytest.raises(SchedulerRejected, match="flux-batch: ERROR: unsatisfiable request"):
        Flux().parse_submit(CommandResult(("flux",), 1, "", "flux-batch: ERROR: unsatisfiable request\n"))
    with pytest.raises(SchedulerUnavailable, match="Unable to connect"):
        Flux().parse_submit(CommandResult(("flux",), 1, "", "flux-batch: ERROR: Unable to connect to Flux\n"))


def test_one_unknown_id_and_one_unknown_word_spoil_no_other_row() -> None:
    rows = "f2A|RUN||1754.2s|2|debug|ql1-1234|\nf2B|MOONING|||||x|y\nnonsense\n"
    report = Flux().parse_status(["f2A", "f2B", "f2C"], CommandResult(("flux",), 1, rows, "JobID f2C unknown\n"))
    running = BatchStatus(BatchState.RUNNING, "RUN", "ql1-1234", seconds_left=1754.2, queue="debug", nodes=2)
    unknown = BatchStatus(BatchState.UNKNOWN, "MOONING", "x", reason="y")
    assert (report.jobs, report.unreadable) == ({"f2A": running, "f2B": unknown}, ("nonsense",))


def test_ranks_are_counted_per_task() -> None:
    launch = a_launch(2, gpus=4, ranks_per_node=4, threads_per_rank=16, affinity="depth")
    assert FluxRun().command(launch).argv == (
        "flux", "run", "--nodes=2", "--ntasks=8", "--cores-per-task=16", "--gpus-per-task=1",
        "--requires=host:nid00001,nid00002",
        "--setopt=cpu-affinity=per-task", "a.out",
    )  # fmt: skip
