"""The long options that Balsam 0.5 had: an abbreviation is looked for among these first, so that old scripts work."""

from __future__ import annotations

from collections.abc import Mapping

_JOB = frozenset(
    {
        "--name",
        "--workflow",
        "--application",
        "--wall-time-minutes",
        "--num-nodes",
        "--coschedule-num-nodes",
        "--node-packing-count",
        "--ranks-per-node",
        "--threads-per-rank",
        "--threads-per-core",
        "--description",
        "--args",
        "--mpi-flags",
        "--input-files",
        "--stage-out-files",
        "--url-in",
        "--url-out",
        "--env",
        "--post_handle_error",
        "--post_handle_timeout",
        "--disable_auto_timeout_retry",
        "--yes",
    }
)

LONG_OPTIONS: Mapping[str, frozenset[str]] = {
    "app": frozenset({"--name", "--executable", "--preprocess", "--postprocess", "--envscript", "--description"}),
    "job": _JOB,
    "mkchild": _JOB,
    "ls": frozenset({"--name", "--id", "--state", "--wf", "--by-states", "--history", "--verbose", "--tree"}),
    "modify": frozenset({"--type"}),
    "rm": frozenset({"--name", "--id", "--all", "--wf-filter", "--force"}),
    "killjob": frozenset({"--id", "--recursive"}),
    "launcher": frozenset(
        {
            "--consume-all",
            "--wf-filter",
            "--job-mode",
            "--time-limit-minutes",
            "--num-transition-threads",
            "--gpus-per-node",
            "--limit-nodes",
            "--offset-nodes",
            "--persistent",
        }
    ),
    "submit-launch": frozenset(
        {"--nodes", "--time-minutes", "--queue", "--project", "--job-mode", "--wf-filter", "--sched-flags"}
    ),
    "which": frozenset({"--list", "--name"}),
    "server": frozenset(
        {"--connect", "--reset", "--list-active-connections", "--list-users", "--add-user", "--drop-user"}
    ),
}
