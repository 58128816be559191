"""What Alembic runs for every command: on the connection it is handed, in one transaction."""

from __future__ import annotations

from alembic import context

from autointerp.db.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
