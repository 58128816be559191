"""What tells a feature from those of nearly the same name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("labels", sa.Column("told_apart_from", sa.JSON(), nullable=True))
    op.add_column("labels", sa.Column("difference", sa.Text(), server_default="", nullable=False))
    op.add_column("labels", sa.Column("name_before", sa.Text(), server_default="", nullable=False))
