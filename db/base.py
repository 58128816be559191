"""What all tables share: names of constraints, the time type, and the check that a word is one of a few."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, get_args

from sqlalchemy import JSON, CheckConstraint, DateTime, Dialect, Double, LargeBinary, MetaData, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase

# Every constraint has a name, so that later migrations can drop or alter it on SQLite and PostgreSQL alike.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, kept as naive UTC because SQLite knows no zones; always aware in Python."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware to naive UTC; a naive value is taken as UTC."""
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Naive UTC to aware."""
        return None if value is None else value.replace(tzinfo=timezone.utc)


class Base(DeclarativeBase):
    """The root of all models."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {
        datetime: UtcDateTime(),
        str: Text(),
        bytes: LargeBinary(),
        float: Double(),
        dict[str, Any]: JSON(),
        list[int]: JSON(),
    }


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(timezone.utc)


def one_of(column: str, words: Any) -> CheckConstraint:
    """The constraint that `column` holds one of the words of a `Literal` type.

    A check and not an SQL enum: PostgreSQL's enums need their own migration for every new word.
    """
    listed = ", ".join(f"'{word}'" for word in get_args(words))
    return CheckConstraint(f"{column} IN ({listed})", name=column)
