"""What each trial of a score showed and measured, and scores of another label's words as a control."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scores", sa.Column("shuffled", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("judgements", sa.Column("kind", sa.String(32), nullable=False, server_default=""))
    op.add_column("judgements", sa.Column("panel", sa.Integer(), nullable=True))
    op.add_column("judgements", sa.Column("value", sa.Double(), nullable=True))
    op.add_column("judgements", sa.Column("shown", sa.JSON(), nullable=False, server_default="{}"))
