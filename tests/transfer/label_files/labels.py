"""What tests of labels read and write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]


Query = Callable[..., list[Any]]


NAME = "shapes-turbo.mid.topk"


def shown(run: Cli, latent: int, *more: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("show", f"{NAME}:{latent}", "--json", *more).out)
    return found


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def human(query: Query, workspace: Path) -> list[Any]:
    return query(
        workspace,
        "SELECT f.latent_index, r.model, l.name, l.explanation, l.confidence FROM labels l"
        " JOIN labelers r ON r.id = l.labeler_id JOIN features f ON f.id = l.feature_id"
        " WHERE r.kind = 'human' ORDER BY l.id",
    )
