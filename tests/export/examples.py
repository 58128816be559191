"""A small bundle: labels, rows of a database, and what a bundle is written from."""

from __future__ import annotations

from pathlib import Path

from autointerp.export.bundle import BundleContents
from autointerp.export.parquet import Column, Table
from autointerp.export.rows import ExportRow, ExportScore

PROVENANCE = {"name": "shapes-turbo.mid.topk", "model": "shapes-turbo", "layer": "mid", "hookpoint": "transformer.x.1"}


ROWS = [
    ExportRow(
        index=1,
        name="red circle",
        explanation="Fires on red circles.",
        status="ok",
        confidence=0.9,
        labeler="clip",
        scores=(ExportScore(method="embedding", value=0.97, ci_low=0.9, ci_high=1.0),),
        density=0.01,
        max_activation=3.5,
    ),
    ExportRow(index=0, name="<script>|x", explanation="über `code`\u202e", status="ok", confidence=0.4, labeler="clip"),
    ExportRow(index=2, status="uninterpretable", labeler="clip", density=0.2),
    ExportRow(index=3, state="dead"),
]


COLUMNS = {
    "images": (Column("id", "int"), Column("picture", "bytes"), Column("steps", "json")),
    "crops": (Column("id", "int"), Column("image_id", "int", refers="images"), Column("cell", "int", null=True)),
}


def tables() -> list[Table]:
    images = [{"id": i, "picture": bytes([i]) * 9, "steps": {"7": 0.5, "0": 0.25}} for i in (3, 5)]
    crops = [{"id": i, "image_id": 3 + 2 * (i % 2), "cell": None if i else 4} for i in range(3)]
    return [Table("images", COLUMNS["images"], images), Table("crops", COLUMNS["crops"], crops)]


def contents(folder: Path, rows: list[ExportRow] = ROWS, full: bool = False) -> BundleContents:
    """What a bundle of a dictionary's folder is written from; `full` adds rows of a database and a sheet."""
    if not full:
        return BundleContents(folder, PROVENANCE, rows)
    return BundleContents(folder, PROVENANCE, rows, tables(), "0001", b"picture")
