"""Database: rows of a harvest written in bulk, and the words route of search, SQLite beside PostgreSQL.

PostgreSQL runs on the same machine, is reached over loopback and does not wait for the disk; SQLite does, once a
transaction. `ours` is PostgreSQL.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS = 6, 1
CROPS, QUICK_CROPS = 50_000, 2_000
LABELS, QUICK_LABELS = 10_000, 500
QUERIES = 20
_WORDS = (
    "red blue green white black circle square star ring striped dotted plain edge corner above left of a the bright"
)


def phrase(rng: random.Random, words: int) -> str:
    """Words of which the first are common and the last are rare."""
    vocabulary = _WORDS.split()
    return " ".join(rng.choices(vocabulary, [1 / (i + 1) for i in range(len(vocabulary))], k=words))


def write(database: Any, crops: int, labels: int) -> dict[str, float]:
    """Fill an empty database; seconds of the crops and of the labels, which are indexed by their words."""
    from autointerp.db import models, queries
    from autointerp.db.queries.labelers import LabelerKey

    rng, features = random.Random(0), 1_000
    with database.session() as session:
        given = {"kind": "random", "model": "m", "layer": "mid", "hookpoint": "h", "signal": "output", "d_in": 8}
        given |= {"grid_rows": 12, "grid_cols": 12, "num_latents": labels, "weights_sha256": "0" * 64}
        session.add(models.DictionaryRow(name="d", identity="d", **given))
        session.flush()
        rows = [{"dictionary_id": 1, "latent_index": i, "state": "live"} for i in range(labels)]
        queries.bulk.insert_many(session, models.Feature, rows)
        image = {"prompt": "p", "prompt_hash": "p", "width": 64, "height": 64, "picture": bytes(2_000)}
        images = range(crops // min(features, labels) + 1)
        queries.bulk.insert_many(
            session,
            models.Image,
            [{**image, "image_index": i, "seed": i, "generation_hash": f"{i}"} for i in images],
        )
        labeler = queries.labelers.ensure(session, LabelerKey("clip")).id
    box = {"box_left": 0, "box_top": 0, "box_right": 20, "box_bottom": 20, "role": "top", "split": "explain"}
    cell = {"step": 1, "timestep": 500.0, "row": 3, "col": 4, "activation_map": bytes(48), **box}
    made = [
        {**cell, "feature_id": i % min(features, labels) + 1, "image_id": i // min(features, labels) + 1}
        | {"activation": 1 / (i + 1), "rank": i // min(features, labels)}
        for i in range(crops)
    ]
    begun = time.perf_counter()
    with database.session() as session:
        queries.bulk.insert_many(session, models.Crop, made)
    crops_done = time.perf_counter()
    named = [
        {"feature_id": i + 1, "labeler_id": labeler, "status": "ok", "name": phrase(rng, 3)}
        | {"explanation": phrase(rng, 12)}
        for i in range(labels)
    ]
    labels_begun = time.perf_counter()
    with database.session() as session:
        queries.bulk.insert_many(session, models.Label, named)
    return {"crops": crops_done - begun, "labels": time.perf_counter() - labels_begun}


def search(database: Any) -> float:
    """Mean seconds of a query of two words, of 200 features."""
    from autointerp.db.queries.words import labels_with_words

    rng = random.Random(1)
    asked = [sorted(set(phrase(rng, 2).split())) for _ in range(QUERIES)]
    begun = time.perf_counter()
    for words in asked:
        with database.session() as session:
            if not labels_with_words(session, words, [1], 200):
                raise RuntimeError("nothing was found")
    return (time.perf_counter() - begun) / QUERIES


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Time both, pair by pair; without PostgreSQL on this machine there is nothing to compare."""
    from autointerp.db.engine import Database
    from benchmarks.postgres import Server

    crops, labels = (QUICK_CROPS, QUICK_LABELS) if quick else (CROPS, LABELS)

    def timed(database: Any) -> dict[str, float]:
        database.upgrade()
        try:
            return {**write(database, crops, labels), "search": search(database)}
        finally:
            database.close()

    def in_file() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            return timed(Database(Path(folder) / "a.db"))

    def on_server() -> dict[str, float]:
        try:
            return timed(Database(server.create("bench")))
        finally:
            server.drop("bench")

    server = Server()
    try:
        ours, other = interleave(pairs or (QUICK_PAIRS if quick else PAIRS), on_server, in_file)
    finally:
        server.remove()
    figures = {
        f"{crops} crops in one transaction": "crops",
        f"{labels} labels in one transaction": "labels",
        f"a query among {labels} labels": "search",
    }
    return [
        Row.of("database", f"{what}: PostgreSQL / SQLite", "s", [x[key] for x in ours], [x[key] for x in other])
        for what, key in figures.items()
    ]
