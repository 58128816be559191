"""Histogram, steps and neighbours of features; hard negatives; checkpoints in pieces of a size databases take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("histogram", "steps", "neighbours"):
        op.add_column("features", sa.Column(name, sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("crops", sa.Column("neighbour", sa.Integer(), nullable=True))
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.String(32), nullable=False),
        sa.Column("shape", sa.JSON(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_checkpoints_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoints")),
        sa.UniqueConstraint("run_id", "name", "part", name=op.f("uq_checkpoints_run_id_name_part")),
    )
    # What an unfinished harvest of an older version kept is of another form: it starts again.
    op.execute("UPDATE runs SET done = 0 WHERE kind = 'harvest' AND status != 'done'")
    with op.batch_alter_table("runs") as table:
        table.drop_column("state")
