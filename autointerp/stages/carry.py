"""The rows of one dictionary, out of one database and into another: what a bundle restores.

Columns are read off the models, so a new one travels without a line here. Rows get new ids on the way in; images and
labelers that are there already, by their hashes, are the same ones and are used again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, DateTime, Float, Integer, LargeBinary, Select, bindparam, func, select
from sqlalchemy.orm import Session

from autointerp.db.base import Base, UtcDateTime
from autointerp.db.copy import set_sequence
from autointerp.db.models import Crop, Dictionary, Feature, Image, Judgement, Label, Labeler, Run, Score
from autointerp.db.queries import insert_many
from autointerp.db.words import prompts_indexed_once
from autointerp.export.parquet import Column, Table, Type, read_rows

CARRIED: tuple[type[Base], ...] = (Dictionary, Labeler, Image, Feature, Crop, Label, Score, Judgement, Run)
"""Each after those that it refers to. Calls and indexes stay: the one is a ledger, the other can be made again."""
_NAMES = {model.__tablename__ for model in CARRIED}
_SAME: dict[str, tuple[str, ...]] = {
    "images": ("generation_hash",),
    "labelers": ("kind", "model", "base_url", "prompt_hash", "config_hash"),
    "runs": ("identity",),
}
"""What tells that a row is there already."""
_TYPES: tuple[tuple[Any, Type], ...] = (
    ((Integer, BigInteger), "int"),
    (Boolean, "bool"),
    (Float, "float"),
    (LargeBinary, "bytes"),
    (JSON, "json"),
    ((DateTime, UtcDateTime), "time"),
)


def columns_of(model: type[Base]) -> tuple[Column, ...]:
    """A table's columns as they travel; those that refer to a table that stays behind are left out."""
    found = []
    for column in model.__table__.columns:
        refers = next((key.column.table.name for key in column.foreign_keys), None)
        if refers is not None and (refers not in _NAMES or refers == model.__tablename__):
            continue
        kind: Type = next((word for types, word in _TYPES if isinstance(column.type, types)), "text")
        found.append(Column(column.name, kind, bool(column.nullable), refers))
    return tuple(found)


COLUMNS: dict[str, tuple[Column, ...]] = {model.__tablename__: columns_of(model) for model in CARRIED}


def tables_of(session: Session, dictionary_id: int, labels: Collection[int] | None = None) -> Iterator[Table]:
    """The rows of a dictionary and of all under it, in the order of their ids; read while they are written.

    Args:
        session: Open as long as rows are read.
        dictionary_id: Whose.
        labels: Ids of the labels that travel, with their scores; None is all of them.
    """
    features = select(Feature.id).where(Feature.dictionary_id == dictionary_id)
    crops = select(Crop.id).where(Crop.feature_id.in_(features))
    mine = select(Label.id).where(Label.feature_id.in_(features))
    if labels is not None:
        # Written into the statement: databases take a bounded number of parameters.
        mine = mine.where(Label.id.in_(bindparam("labels", list(labels), expanding=True, literal_execute=True)))
    scores = select(Score.id).where(Score.label_id.in_(mine))
    saying = select(Label.labeler_id).where(Label.id.in_(mine))
    judging = select(Score.judge_id).where(Score.id.in_(scores), Score.judge_id.is_not(None))
    wanted: dict[type[Base], Any] = {
        Dictionary: Dictionary.id == dictionary_id,
        Labeler: Labeler.id.in_(saying.union(judging)),
        Image: Image.id.in_(select(Crop.image_id).where(Crop.id.in_(crops))),
        Feature: Feature.dictionary_id == dictionary_id,
        Crop: Crop.feature_id.in_(features),
        Label: Label.id.in_(mine),
        Score: Score.id.in_(scores),
        Judgement: Judgement.score_id.in_(scores),
        Run: (Run.dictionary_id == dictionary_id) & (Run.status == "done") & (Run.kind != "index"),
    }
    for model in CARRIED:
        columns = columns_of(model)
        query = select(*(model.__table__.c[c.name] for c in columns)).where(wanted[model])
        yield Table(model.__tablename__, columns, _rows(session, query.order_by(model.__table__.c.id)))


def _rows(session: Session, query: Select[Any]) -> Iterator[Mapping[str, Any]]:
    for row in session.execute(query.execution_options(yield_per=500)).mappings():
        yield dict(row)


def dictionary_row(folder: Path) -> dict[str, Any]:
    """The one row of `dictionaries` among files of rows that were checked."""
    ((row,),) = read_rows(folder / "dictionaries.parquet", COLUMNS["dictionaries"])
    return row


def restore_rows(session: Session, folder: Path, name: str) -> int:
    """Store the rows of a bundle in the caller's transaction; returns the dictionary's new id.

    Args:
        session: Of a database that nobody else writes to meanwhile.
        folder: Files of rows that were checked.
        name: What the dictionary is called here.
    """
    restored: list[int] = []
    with prompts_indexed_once(session, restored):
        restored += _restore(session, folder, name)
    return restored[0]


def _restore(session: Session, folder: Path, name: str) -> list[int]:
    """Ids of the dictionaries that were stored, one."""
    ids: dict[str, dict[int, int]] = {}
    for model in CARRIED:
        table = model.__tablename__
        columns = COLUMNS[table]
        ids[table] = {}
        following = (session.scalar(select(func.max(model.__table__.c.id))) or 0) + 1
        for part in read_rows(folder / f"{table}.parquet", columns):
            there = _there(session, model, part)
            new = []
            for row in part:
                old = row["id"]
                known = there.get(tuple(row[key] for key in _SAME.get(table, ())))
                if known is not None:
                    ids[table][old] = known
                    continue
                ids[table][old] = following
                moved = {c.name: ids[c.refers][row[c.name]] for c in columns if c.refers and row.get(c.name)}
                named = {"name": name} if model is Dictionary else {}
                new.append({**row, **moved, **named, "id": following})
                following += 1
            insert_many(session, model, new)
        set_sequence(session.connection(), Base.metadata.tables[table])
    return list(ids["dictionaries"].values())


def _there(session: Session, model: type[Base], rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], int]:
    """What is told apart by its content and is in the database already -> its id."""
    keys = _SAME.get(model.__tablename__)
    if keys is None:
        return {}
    table = model.__table__
    found: dict[tuple[Any, ...], int] = {}
    first = keys[-1]
    for start in range(0, len(rows), 500):
        values = {row[first] for row in rows[start : start + 500]}
        query = select(table.c.id, *(table.c[key] for key in keys)).where(table.c[first].in_(values))
        found.update({tuple(values): row_id for row_id, *values in session.execute(query)})
    return found
