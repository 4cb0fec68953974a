"""The first schema: jobs, applications, dependencies, events, launchers, facts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_CLAIMABLE = "launcher_id IS NULL AND hold = false AND state IN ('PREPROCESSED', 'RESTART_READY')"
_PROCESSABLE = (
    "launcher_id IS NULL AND state IN "
    "('CREATED', 'READY', 'STAGED_IN', 'RUN_DONE', 'POSTPROCESSED', 'RUN_ERROR', 'RUN_TIMEOUT')"
)


def upgrade() -> None:
    op.create_table(
        "apps",
        sa.Column("app_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("executable", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("preprocess", sa.Text(), nullable=False),
        sa.Column("postprocess", sa.Text(), nullable=False),
        sa.Column("envscript", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("app_id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "dependencies",
        sa.Column("child_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=False),
        sa.Column("satisfied", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("child_id", "parent_id"),
    )
    op.create_index("dependencies_parent", "dependencies", ["parent_id"], unique=False)
    op.create_table(
        "events",
        sa.Column(
            "event_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=False),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("events_job", "events", ["job_id"], unique=False)
    op.create_table(
        "facts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "jobs",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("workflow", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("input_files", sa.Text(), nullable=False),
        sa.Column("stage_in_url", sa.Text(), nullable=False),
        sa.Column("stage_out_url", sa.Text(), nullable=False),
        sa.Column("stage_out_files", sa.Text(), nullable=False),
        sa.Column("wall_time_minutes", sa.Integer(), nullable=True),
        sa.Column("num_nodes", sa.Integer(), nullable=False),
        sa.Column("coschedule_num_nodes", sa.Integer(), nullable=False),
        sa.Column("ranks_per_node", sa.Integer(), nullable=False),
        sa.Column("cpu_affinity", sa.String(), nullable=False),
        sa.Column("threads_per_rank", sa.Integer(), nullable=False),
        sa.Column("threads_per_core", sa.Integer(), nullable=False),
        sa.Column("node_packing_count", sa.Integer(), nullable=False),
        sa.Column("gpus_per_rank", sa.Integer(), nullable=True),
        sa.Column("memory_mb", sa.Integer(), nullable=True),
        sa.Column("timeout_seconds", sa.Double(), nullable=True),
        sa.Column("max_retries", sa.Integer(), nullable=True),
        sa.Column("environ_vars", sa.JSON(), nullable=False),
        sa.Column("mpi_flags", sa.Text(), nullable=False),
        sa.Column("user_workdir", sa.Text(), nullable=False),
        sa.Column("wait_for_parents", sa.Boolean(), nullable=False),
        sa.Column("post_error_handler", sa.Boolean(), nullable=False),
        sa.Column("post_timeout_handler", sa.Boolean(), nullable=False),
        sa.Column("auto_timeout_retry", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("hold", sa.Boolean(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unmet_parents", sa.Integer(), server_default="0", nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("launcher_id", sa.Uuid(), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("pid_clock", sa.Double(), nullable=True),
        sa.Column("node", sa.String(), server_default="", nullable=False),
        sa.Column("queued_launch", sa.String(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("state_at", sa.Double(), nullable=False),
        sa.CheckConstraint("unmet_parents >= 0", name="jobs_unmet_parents"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("job_id"),
    )
    in_order: list[str | sa.TextClause] = [sa.text("priority DESC"), sa.text("num_nodes DESC"), "seq"]
    in_order += ["ranks_per_node", "wall_time_minutes"]
    for name, columns in (("jobs_claimable", in_order), ("jobs_claimable_workflow", ["workflow", *in_order])):
        op.create_index(name, "jobs", columns, sqlite_where=sa.text(_CLAIMABLE), postgresql_where=sa.text(_CLAIMABLE))
    op.create_index("jobs_folder", "jobs", ["folder"], unique=True)
    op.create_index(
        "jobs_held_by",
        "jobs",
        ["launcher_id"],
        unique=False,
        sqlite_where=sa.text("launcher_id IS NOT NULL"),
        postgresql_where=sa.text("launcher_id IS NOT NULL"),
    )
    op.create_index(
        "jobs_processable",
        "jobs",
        ["state", "workflow"],
        unique=False,
        sqlite_where=sa.text(_PROCESSABLE),
        postgresql_where=sa.text(_PROCESSABLE),
    )
    op.create_index("jobs_workflow_state", "jobs", ["workflow", "state"], unique=False)
    op.create_table(
        "launchers",
        sa.Column("launcher_id", sa.Uuid(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("boot_id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_clock", sa.Double(), nullable=False),
        sa.Column("batch_job_id", sa.String(), nullable=True),
        sa.Column("job_mode", sa.String(), nullable=False),
        sa.Column("wf_filter", sa.String(), nullable=False),
        sa.Column("nodes", sa.Integer(), nullable=False),
        sa.Column("lease_seconds", sa.Double(), nullable=False),
        sa.Column("heartbeat", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("end_reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("launcher_id"),
    )
