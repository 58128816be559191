"""The schema's history, run by `autointerp.db.upgrade.upgrade_schema`; there is no alembic.ini."""
