"""The database: engine, models, queries. Imports nothing else of this project.

Import the parts you need (`from autointerp.db import models, queries`); only the error class is loaded here, so
that the command line can name it without SQLAlchemy.
"""

from autointerp.db.errors import DatabaseError

__all__ = ["DatabaseError"]
