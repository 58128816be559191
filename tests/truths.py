"""A workspace whose features have a known truth, written by hand: one name of each kind beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autointerp.db import models, queries
from autointerp.db.queries.labelers import LabelerKey
from autointerp.project.context import Context
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.concepts import concept_masks
from autointerp.shapes.halves import SPLITS, HalfTruths
from autointerp.shapes.held_out import HeldOutCells
from autointerp.shapes.scenes import ATTRIBUTES, render, sample_scene
from autointerp.shapes.truth import ActiveCells, FeatureTruth
from autointerp.shapes.verdict import Evaluated
from tests.rows import dictionary

SAID = [
    ("red", "red", "exact"),
    ("red", "object", "too broad"),
    ("red", "red circle", "too narrow"),
    ("red", "circle", "overlapping"),
    ("red", "blue", "wrong"),
    ("", "sky", "no truth"),
    ("circle", "", "no name"),
    ("", "", ""),
]
"""Truth, name, and what the name is beside the truth, of each latent; empty where there is none."""


def write_truths(path: Path, evaluated: bool = True) -> Context:
    """Write a workspace of these features, with what `evaluate` would have stored, or without."""
    ctx = Context(WorkspaceFolder.create(path, Settings()))
    with ctx.db.session() as session:
        session.add(dictionary(num_latents=len(SAID), steps=[0]))
        session.flush()
        rows = [{"dictionary_id": 1, "latent_index": i, "state": "live"} for i in range(len(SAID))]
        queries.bulk.insert_many(session, models.Feature, rows)
        labeler = queries.labelers.ensure(session, LabelerKey("clip"))
        for latent, (_, name, _) in enumerate(SAID):
            if name:
                session.add(models.Label(feature_id=latent + 1, labeler_id=labeler.id, status="ok", name=name))
        if evaluated:
            result = {"features_truths": _evaluation().as_dict()}
            run = models.Run(kind="evaluate", identity="e", dictionary_id=1, status="done", result=result)
            session.add(run)
    return ctx


def _evaluation() -> Evaluated:
    rng = np.random.default_rng(0)
    seen = [render(sample_scene(rng)).cells() for _ in range(60)]
    cells = {name: np.stack([one[name] for one in seen]) for name in ATTRIBUTES}
    concepts, _ = concept_masks(cells)
    by_name = {concept.name: concept for concept in concepts}
    truths = [FeatureTruth(by_name[truth], 0.8, 0.1, 12.0, 7) if truth else None for truth, _, _ in SAID]
    nowhere = np.zeros(0, np.int64)
    active = ActiveCells(len(SAID), nowhere, nowhere, nowhere, nowhere)
    halves = HalfTruths(np.full((2 * SPLITS, len(SAID)), -1, np.int16), 0)
    return Evaluated(truths, concepts, HeldOutCells(cells, active), halves)
