"""The parts of the score `gain`, and the base rates that labels of one name share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_FIGURES = ("precision", "precision_low", "precision_high", "base_rate", "base_rate_low", "base_rate_high")


def upgrade() -> None:
    for name in _FIGURES:
        op.add_column("scores", sa.Column(name, sa.Double(), nullable=True))
    op.add_column("scores", sa.Column("holds", sa.Boolean(), nullable=True))
    op.create_table(
        "base_rates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dictionary_id", sa.Integer(), nullable=False),
        sa.Column("judge_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cells_hash", sa.String(length=64), nullable=False),
        sa.Column("yes", sa.Integer(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["dictionaries.id"],
            name=op.f("fk_base_rates_dictionary_id_dictionaries"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["judge_id"], ["labelers.id"], name=op.f("fk_base_rates_judge_id_labelers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_base_rates")),
        sa.UniqueConstraint(
            "dictionary_id",
            "judge_id",
            "name",
            "cells_hash",
            name=op.f("uq_base_rates_dictionary_id_judge_id_name_cells_hash"),
        ),
    )
    op.create_index(op.f("ix_base_rates_judge_id"), "base_rates", ["judge_id"], unique=False)
