"""Bundles of a workspace: their rows, and damage that is signed like the real thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select

from autointerp import Workspace
from autointerp.db.base import Base
from autointerp.db.queries.carrying import CARRIED
from autointerp.export.bundle import MANIFEST, checksum_of
from autointerp.files import sha256_of

NAME = "shapes-turbo.mid.topk"


Cli = Callable[..., Any]


def content(workspace: Path) -> dict[str, list[Any]]:
    """Every row that travels, in order, with what it refers to in the place of ids; without times."""
    opened = Workspace(workspace)
    found: dict[str, list[Any]] = {}
    with opened.db.session() as session:
        said: dict[str, dict[int, Any]] = {}
        for model in CARRIED:
            table = Base.metadata.tables[model.__tablename__]
            referring = {c.name: next(iter(c.foreign_keys)).column.table.name for c in table.columns if c.foreign_keys}
            rows: list[Any] = []
            for row in session.execute(select(*table.columns).order_by(table.c.id)).mappings():
                values = {k: v for k, v in row.items() if k != "id" and not k.endswith("_at")}
                for name, target in referring.items():
                    values[name] = said[target][values[name]] if values[name] is not None else None
                said.setdefault(table.name, {})[row["id"]] = (table.name, len(rows))
                rows.append(values)
            found[table.name] = rows
    opened.close()
    return found


def sign(bundle: Path, **changes: Any) -> None:
    """Change the manifest, and its checksum with it."""
    manifest = json.loads((bundle / MANIFEST).read_text()) | changes
    (bundle / MANIFEST).write_text(json.dumps(manifest | {"checksum": checksum_of(manifest)}))


def hurt(bundle: Path, name: str, data: bytes) -> None:
    """Change a file, and the manifest with it."""
    (bundle / name).write_bytes(data)
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][name] = sha256_of(bundle / name)
    sign(bundle, **manifest)
