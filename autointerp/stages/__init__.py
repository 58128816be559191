"""Stages: the only code that joins rooms with the database."""
