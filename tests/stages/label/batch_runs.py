"""Shared by the tests of batches: a stub server's answers, and readers of the rows that a batch left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Query = Callable[..., list[Any]]

FEATURES = 6


def answer(request: dict[str, Any], scripted: Any) -> str:
    shown = sum(part["type"] == "image_url" for part in request["messages"][1]["content"])
    if "answers" in json.dumps(request["response_format"]):
        return json.dumps({"answers": [True] * shown})
    return str(scripted.label_json(f"{shown} things"))


def statuses(query: Query, workspace: Path) -> list[str]:
    rows = query(
        workspace,
        "SELECT l.status, l.error FROM labels l JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'vlm'"
        " ORDER BY l.feature_id",
    )
    return [f"{status} {error}".strip() for status, error in rows]


def submitted(server: Any) -> list[str]:
    """Every request that was ever in a batch."""
    return [line["custom_id"] for batch in server.batches.made for line in server.batches.lines(batch)]
