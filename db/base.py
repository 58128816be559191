"""The base of all tables: names of constraints, types that every database takes, and columns of a few words."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any, get_args

from sqlalchemy import JSON, CheckConstraint, DateTime, Dialect, Double, LargeBinary, MetaData, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase
from typing_extensions import override

# Every constraint has a name, so that later migrations can drop or alter it on SQLite and PostgreSQL alike.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware in Python, stored as naive UTC, because SQLite has no time zones."""

    impl = DateTime
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment as naive UTC; a naive value is taken as UTC."""
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(timezone.utc).replace(tzinfo=None)

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return a stored moment as an aware one."""
        return None if value is None else value.replace(tzinfo=timezone.utc)


class AnyText(TypeDecorator[str]):
    """Text from anywhere, a model's answers included.

    PostgreSQL refuses NUL, and no database takes half of a surrogate pair. Both are stored as U+FFFD.
    """

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text as it can be stored."""
        if value is None or value.isascii() and "\0" not in value:
            return value
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Base(DeclarativeBase):
    """The root of all models."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {
        datetime: UtcDateTime(),
        str: AnyText(),
        bytes: LargeBinary(),
        float: Double(),
        dict[str, Any]: JSON(),
        list[int]: JSON(),
    }


def now() -> datetime:
    """Return this moment, in UTC."""
    return datetime.now(timezone.utc)


def to_json(value: Any) -> str:
    """Return the text of a JSON column, with null for numbers that JSON does not have (infinite, not a number).

    PostgreSQL refuses such numbers, and so do most readers of an SQLite file.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def one_of(column: str, words: Any) -> CheckConstraint:
    """Return the constraint that a column holds one of the words of a `Literal` type.

    The constraint is a check and not an SQL enum, because PostgreSQL's enums need a migration of their own for every
    new word.
    """
    listed = ", ".join(f"'{word}'" for word in get_args(words))
    return CheckConstraint(f"{column} IN ({listed})", name=column)
