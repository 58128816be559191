"""The sample of every feature's active cells, and random cells of its layer.

Crops that were harvested before are in no sample.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("crops", sa.Column("sample_probability", sa.Double(), nullable=True))
    op.create_table(
        "cells",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dictionary_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("col", sa.Integer(), nullable=False),
        sa.Column("grid_rows", sa.Integer(), nullable=False),
        sa.Column("grid_cols", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(length=32), nullable=False),
        sa.CheckConstraint("split IN ('explain', 'score')", name=op.f("ck_cells_split")),
        sa.ForeignKeyConstraint(
            ["dictionary_id"], ["dictionaries.id"], name=op.f("fk_cells_dictionary_id_dictionaries"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_cells_image_id_images"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cells")),
        sa.UniqueConstraint(
            "dictionary_id", "image_id", "step", "row", "col", name=op.f("uq_cells_dictionary_id_image_id_step_row_col")
        ),
    )
    op.create_index(op.f("ix_cells_image_id"), "cells", ["image_id"], unique=False)
    # What an unfinished harvest of an older version kept is of another form: it starts again.
    op.execute("UPDATE runs SET done = 0 WHERE kind = 'harvest' AND status != 'done'")
    op.execute("DELETE FROM checkpoints WHERE run_id IN (SELECT id FROM runs WHERE kind = 'harvest')")
