"""The schema's history, run by `autointerp.db.engine.Database.upgrade`; there is no alembic.ini."""
