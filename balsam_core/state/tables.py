"""The tables: one row per job, application, dependency, event, launcher and batch job.

A change here needs a new module in `balsam_core/state/migrations/versions/`; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    text,
)

metadata = MetaData()

# SQLite grows a key by itself only when it is called INTEGER.
_Serial = BigInteger().with_variant(Integer(), "sqlite")

# The partial indexes serve a query only when it spells these conditions to the letter (EXPLAIN QUERY PLAN).
# PostgreSQL's `WHERE` stands in the migration only: naming it here would load its dialect, 57 ms a command.
CLAIMABLE = "launcher_id IS NULL AND hold = false AND state IN ('PREPROCESSED', 'RESTART_READY')"
PROCESSABLE = (
    "launcher_id IS NULL AND state IN "
    "('CREATED', 'READY', 'STAGED_IN', 'RUN_DONE', 'POSTPROCESSED', 'RUN_ERROR', 'RUN_TIMEOUT')"
)
CLAIM_ORDER = "priority DESC, num_nodes DESC, seq"
# What the serial mode may take. Its order leaves num_nodes out: SQLite would sort rather than see that it is 1.
SERIAL_CLAIMABLE = f"{CLAIMABLE} AND num_nodes = 1 AND ranks_per_node = 1"
SERIAL_CLAIM_ORDER = "priority DESC, seq"

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("job_id", Uuid, nullable=False, unique=True),
    Column("workflow", String, nullable=False),
    Column("name", String, nullable=False),
    Column("description", Text, nullable=False),
    Column("application", String, nullable=False),
    Column("args", Text, nullable=False),
    Column("input_files", Text, nullable=False),
    Column("stage_in_url", Text, nullable=False),
    Column("stage_out_url", Text, nullable=False),
    Column("stage_out_files", Text, nullable=False),
    Column("wall_time_minutes", Integer),
    Column("num_nodes", Integer, nullable=False),
    Column("coschedule_num_nodes", Integer, nullable=False),
    Column("ranks_per_node", Integer, nullable=False),
    Column("cpu_affinity", String, nullable=False),
    Column("threads_per_rank", Integer, nullable=False),
    Column("threads_per_core", Integer, nullable=False),
    Column("node_packing_count", Integer, nullable=False),
    Column("gpus_per_rank", Integer),
    Column("memory_mb", Integer),
    Column("timeout_seconds", Double),
    Column("max_retries", Integer),
    Column("environ_vars", JSON, nullable=False),
    Column("mpi_flags", Text, nullable=False),
    Column("user_workdir", Text, nullable=False),
    Column("wait_for_parents", Boolean, nullable=False),
    Column("post_error_handler", Boolean, nullable=False),
    Column("post_timeout_handler", Boolean, nullable=False),
    Column("auto_timeout_retry", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("hold", Boolean, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("data", JSON, nullable=False),
    # What follows is the program's own: no user writes it.
    Column("folder", String, nullable=False),
    Column("state", String, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("unmet_parents", Integer, nullable=False, server_default="0"),
    Column("exit_code", Integer),
    Column("launcher_id", Uuid),
    Column("pid", Integer),
    Column("pid_clock", Double),
    Column("node", String, nullable=False, server_default=""),
    Column("queued_launch", String),
    Column("created_at", Double, nullable=False),
    Column("state_at", Double, nullable=False),
    CheckConstraint("unmet_parents >= 0", name="jobs_unmet_parents"),
    Index("jobs_workflow_state", "workflow", "state"),
    Index("jobs_folder", "folder", unique=True),
    # The claim's own order, and then what tells a job that does not fit: its row is not even read.
    Index(
        "jobs_claimable",
        text("priority DESC"),
        text("num_nodes DESC"),
        "seq",
        "ranks_per_node",
        "wall_time_minutes",
        sqlite_where=text(CLAIMABLE),
    ),
    Index(
        "jobs_claimable_serial",
        text("priority DESC"),
        "seq",
        "wall_time_minutes",
        sqlite_where=text(SERIAL_CLAIMABLE),
    ),
    Index(
        "jobs_claimable_workflow",
        "workflow",
        text("priority DESC"),
        text("num_nodes DESC"),
        "seq",
        "ranks_per_node",
        "wall_time_minutes",
        sqlite_where=text(CLAIMABLE),
    ),
    Index(
        "jobs_processable",
        "state",
        "workflow",
        sqlite_where=text(PROCESSABLE),
    ),
    Index(
        "jobs_held_by",
        "launcher_id",
        sqlite_where=text("launcher_id IS NOT NULL"),
    ),
)

apps = Table(
    "apps",
    metadata,
    Column("app_id", Uuid, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("executable", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("preprocess", Text, nullable=False),
    Column("postprocess", Text, nullable=False),
    Column("envscript", Text, nullable=False),
)

# satisfied is true exactly while the parent is JOB_FINISHED; the child's unmet_parents counts the others.
dependencies = Table(
    "dependencies",
    metadata,
    Column("child_id", Uuid, primary_key=True),
    Column("parent_id", Uuid, primary_key=True),
    Column("satisfied", Boolean, nullable=False),
    Index("dependencies_parent", "parent_id"),
)

events = Table(
    "events",
    metadata,
    Column("event_id", _Serial, primary_key=True, autoincrement=True),
    Column("job_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("from_state", String, nullable=False),
    Column("to_state", String, nullable=False),
    Column("at", Double, nullable=False),
    Column("message", Text, nullable=False),
    Index("events_job", "job_id"),
)

# heartbeat and process_clock are seconds on the site's lease clock (balsam_core/state/database.py), not wall time.
launchers = Table(
    "launchers",
    metadata,
    Column("launcher_id", Uuid, primary_key=True),
    Column("machine_id", String, nullable=False),
    Column("boot_id", String, nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_clock", Double, nullable=False),
    Column("batch_job_id", String),
    Column("job_mode", String, nullable=False),
    Column("wf_filter", String, nullable=False),
    Column("nodes", Integer, nullable=False),
    Column("lease_seconds", Double, nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("end_reason", Text, nullable=False, server_default=""),
    # Whether others declared the lease over, instead of the launcher itself.
    Column("expired", Boolean, nullable=False, server_default=text("false")),
    # Of batch_jobs: the batch job that started it; batch_job_id is what the scheduler calls that one.
    Column("launch_id", Uuid),
    Column("jobs_done", Integer, nullable=False, server_default="0"),
)

# absent_since: since when answers of the scheduler have not held it, on the lease clock. submitter_*: the process that
# ran the submit command, as in `launchers`.
batch_jobs = Table(
    "batch_jobs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("launch_id", Uuid, nullable=False, unique=True),
    Column("tag", String, nullable=False, unique=True),
    Column("scheduler", String, nullable=False),
    Column("scheduler_id", String),
    Column("state", String, nullable=False),
    Column("batch_state", String, nullable=False, server_default=""),
    Column("raw_state", String, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("nodes", Integer, nullable=False),
    Column("time_limit_minutes", Integer, nullable=False),
    Column("queue", String),
    Column("project", String),
    Column("job_mode", String, nullable=False),
    Column("wf_filter", String),
    Column("workdir", Text, nullable=False),
    Column("output_prefix", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state_at", Double, nullable=False),
    Column("seen_at", Double),
    Column("absent_since", Double),
    Column("seconds_left", Double),
    Column("exit_code", Integer),
    Column("cancelled", Boolean, nullable=False, server_default=text("false")),
    Column("submitter_machine", String, nullable=False),
    Column("submitter_boot", String, nullable=False),
    Column("submitter_pid", Integer, nullable=False),
    Column("submitter_clock", Double, nullable=False),
    Index("batch_jobs_state", "state"),
)

# evidence: the command that showed it, and its answer; empty when the launcher itself did.
batch_events = Table(
    "batch_events",
    metadata,
    Column("event_id", _Serial, primary_key=True, autoincrement=True),
    Column("launch_id", Uuid, nullable=False),
    Column("from_state", String, nullable=False),
    Column("to_state", String, nullable=False),
    Column("at", Double, nullable=False),
    Column("message", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Index("batch_events_launch", "launch_id"),
)

# One row per scheduler: who asks, and when; asked_at is on the lease clock.
polls = Table(
    "polls",
    metadata,
    Column("scheduler", String, primary_key=True),
    Column("asked_at", Double, nullable=False),
    Column("asking", Boolean, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("message", Text, nullable=False),
)

# Facts about the site itself; `machine_id` is the one host of an SQLite site.
facts = Table(
    "facts",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
