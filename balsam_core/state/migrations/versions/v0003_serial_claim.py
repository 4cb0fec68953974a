"""An index of what the serial mode may claim: jobs for more than one node or rank are not even walked over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_CLAIMABLE = (
    "launcher_id IS NULL AND hold = false AND state IN ('PREPROCESSED', 'RESTART_READY') "
    "AND num_nodes = 1 AND ranks_per_node = 1"
)


def upgrade() -> None:
    op.create_index(
        "jobs_claimable_serial",
        "jobs",
        [sa.text("priority DESC"), "seq", "wall_time_minutes"],
        sqlite_where=sa.text(_CLAIMABLE),
        postgresql_where=sa.text(_CLAIMABLE),
    )
