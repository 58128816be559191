"""The database: engine, tables, and all SQL.

Import the parts you need: `from autointerp.db import models, queries`. The package itself does not load SQLAlchemy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autointerp.db.errors import DatabaseBusy, DatabaseError, NotWritable

if TYPE_CHECKING:
    # The type of an open session, so that nothing above this room imports SQLAlchemy.
    from sqlalchemy.orm import Session

__all__ = ["DatabaseBusy", "DatabaseError", "NotWritable", "Session"]
