"""A small workspace whose rows are written by hand, so that views are tested without a model."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from autointerp.crops.maps import encode_map
from autointerp.db import models, queries
from autointerp.db.queries.labelers import LabelerKey
from autointerp.progress import NullProgress
from autointerp.project.context import Context
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from tests.rows import dictionary

NAME = "shapes-turbo.mid.topk"


class Notes(NullProgress):
    """Keeps the notes of a command."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def a_dictionary(name: str = NAME, layer: str = "mid", **values: Any) -> models.DictionaryRow:
    """A dictionary that was measured."""
    return dictionary(name, layer, **{"images": 2, "fvu": 0.25, "figures": {"r2_mean": 0.5}, **values})


def _webp() -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", (32, 32), "red").save(buffer, "WEBP")
    return buffer.getvalue()


def _crop(feature: int, image: int, activation: float = 0.0, **values: Any) -> dict[str, Any]:
    """A crop whose maximum is the cell (1, 2), or a negative, which has no activation."""
    heat = np.zeros((4, 4), np.float32)
    heat[1, 2] = activation
    place = {"row": 1, "col": 2, "step": 1, "activation_map": encode_map(heat), "role": "top"}
    silent = {"row": None, "col": None, "step": None, "activation_map": None, "role": "negative"}
    box = {"box_left": 8, "box_top": 0, "box_right": 32, "box_bottom": 24}
    where = {"feature_id": feature, "image_id": image, "activation": activation, "split": "explain"}
    return where | box | (place if activation else silent) | values


@pytest.fixture
def small(tmp_path: Path, databases: Any) -> Iterator[Context]:
    """A workspace with the features 1 (live, two labelers), 2 (dead), 3 (live, one label) and 4 (dense, no label).

    Latents are the ids less one. Features 1 and 3 have crops.
    """
    folder = WorkspaceFolder.create(tmp_path / "small", Settings())
    with folder.db.session() as session:
        session.add(a_dictionary())
        session.flush()
        features = [
            ("live", 0.1, 4.0, 2.0, {"0": 0.2, "1": 0.8}),
            ("dead", 0.0, 0.0, 0.0, {}),
            ("live", 0.2, 2.0, 1.0, {"0": 0.6, "1": 0.4}),
            ("dense", 0.7, 1.0, 0.5, {"0": 1.0}),
        ]
        columns = ("state", "density", "max_activation", "mean_activation", "steps")
        rows = [
            {"dictionary_id": 1, "latent_index": i} | dict(zip(columns, values, strict=True))
            for i, values in enumerate(features)
        ]
        queries.bulk.insert_many(session, models.Feature, rows)
        first = queries.features.by_index(session, NAME, 0)
        assert first is not None
        first.histogram, first.neighbours = {"first": 30, "counts": [3, 1]}, {"2": 0.4}
        image = {"prompt_hash": "p", "width": 32, "height": 32, "picture": _webp()}
        pictures = [
            {"image_index": i, "prompt": f"a red circle {i}", "seed": i, "generation_hash": f"g{i}", **image}
            for i in range(4)
        ]
        queries.bulk.insert_many(session, models.Image, pictures)
        crops = [_crop(1, 1, 4.0), _crop(1, 2, 3.0, split="score"), _crop(1, 3), _crop(3, 4, 2.0)]
        queries.bulk.insert_many(session, models.Crop, crops)
        clip, vlm = (queries.labelers.ensure(session, LabelerKey(kind, kind[0])) for kind in ("clip", "vlm"))
        said = [(1, clip, "red circle", 0.9), (1, vlm, "red dot", 0.5), (3, clip, "blue square", 0.8)]
        for feature, labeler, name, confidence in said:
            label = models.Label(feature_id=feature, labeler_id=labeler.id, status="ok", name=name)
            label.confidence, label.explanation = confidence, f"It fires on a {name}."
            session.add(label)
            session.flush()
            value = {"red circle": 0.9, "red dot": 0.7, "blue square": 0.6}[name]
            score = {"method": "embedding", "value": value, "ci_low": value - 0.1, "ci_high": value + 0.1}
            session.add(models.Score(label_id=label.id, **score))
    yield Context(folder, Notes())
    folder.db.close()


@pytest.fixture
def named(workspace: Path, query: Callable[..., list[Any]]) -> str:
    """A feature that the labeler named."""
    found = query(
        workspace,
        "SELECT d.name, f.latent_index FROM dictionaries d JOIN features f ON f.dictionary_id = d.id "
        "JOIN labels l ON l.feature_id = f.id WHERE l.status = 'ok' ORDER BY f.latent_index LIMIT 1",
    )
    return f"{found[0][0]}:{found[0][1]}"
