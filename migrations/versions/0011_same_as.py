"""Which features of nearly the same name a labeler takes for the same."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("labels", sa.Column("same_as", sa.JSON(), nullable=True))
