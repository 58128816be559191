"""Figures of dictionaries: how well each rebuilds its layer, beyond FVU and L0."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dictionaries", sa.Column("figures", sa.JSON(), nullable=False, server_default="{}"))
