"""Batch jobs, their events, the polls of schedulers; which launcher belongs to which batch job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("launchers", sa.Column("expired", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("launchers", sa.Column("launch_id", sa.Uuid(), nullable=True))
    op.add_column("launchers", sa.Column("jobs_done", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "batch_jobs",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("launch_id", sa.Uuid(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("scheduler", sa.String(), nullable=False),
        sa.Column("scheduler_id", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("batch_state", sa.String(), server_default="", nullable=False),
        sa.Column("raw_state", sa.String(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("nodes", sa.Integer(), nullable=False),
        sa.Column("time_limit_minutes", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(), nullable=True),
        sa.Column("project", sa.String(), nullable=True),
        sa.Column("job_mode", sa.String(), nullable=False),
        sa.Column("wf_filter", sa.String(), nullable=True),
        sa.Column("workdir", sa.Text(), nullable=False),
        sa.Column("output_prefix", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("state_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=True),
        sa.Column("absent_since", sa.Double(), nullable=True),
        sa.Column("seconds_left", sa.Double(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("cancelled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("submitter_machine", sa.String(), nullable=False),
        sa.Column("submitter_boot", sa.String(), nullable=False),
        sa.Column("submitter_pid", sa.Integer(), nullable=False),
        sa.Column("submitter_clock", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("launch_id"),
        sa.UniqueConstraint("tag"),
    )
    op.create_index("batch_jobs_state", "batch_jobs", ["state"], unique=False)
    op.create_table(
        "batch_events",
        sa.Column(
            "event_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("launch_id", sa.Uuid(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=False),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("batch_events_launch", "batch_events", ["launch_id"], unique=False)
    op.create_table(
        "polls",
        sa.Column("scheduler", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("asking", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scheduler"),
    )
