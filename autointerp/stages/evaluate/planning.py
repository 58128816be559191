"""Stage `evaluate`, planned: what an evaluation depends on, and the result where it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.diffusion.layers import Layer
from autointerp.project.context import Context, identity
from autointerp.project.plan import Step
from autointerp.project.runs import find_run
from autointerp.stages.evaluate.figures import Evaluation

VERSION = 7
"""Raise it when the definition of a figure changes, so that stored results are made anew."""


@dataclass(frozen=True)
class EvaluationPlan:
    """One dictionary to be evaluated.

    Attributes:
        row: The dictionary.
        layer: The layer that it reads.
        identity: Hash of `config`.
        config: Everything that the result depends on.
        known: The result, where it is stored.
    """

    row: DictionaryRow
    layer: Layer
    identity: str
    config: dict[str, Any]
    known: Evaluation | None

    @property
    def images(self) -> int:
        """How many images are held out."""
        return int(self.config["images"])

    @property
    def with_truth(self) -> bool:
        """Whether features are held against the truth."""
        return bool(self.config["truth"])

    @property
    def step(self) -> Step:
        """The plan's line."""
        detail = "against the truth" if self.with_truth else "reconstruction alone: the truth is not known"
        return Step("evaluate", self.row.name, self.known is None, detail, images=self.images, units=self.images)


@dataclass(frozen=True)
class FinePlan:
    """One dictionary to be held against the finer list of concepts.

    Attributes:
        row: The dictionary.
        layer: The layer that it reads.
        identity: Hash of `config`.
        config: Everything that the result depends on.
        known: The figures, where they are stored.
    """

    row: DictionaryRow
    layer: Layer
    identity: str
    config: dict[str, Any]
    known: dict[str, Any] | None

    @property
    def step(self) -> Step:
        """The plan's line."""
        images = int(self.config["images"])
        return Step(
            "evaluate", self.row.name, self.known is None, "against the finer list", images=images, units=images
        )


def plan_fine(ctx: Context, row: DictionaryRow) -> FinePlan | None:
    """Find a dictionary's figures of the finer list, or plan them; None where the truth is not known."""
    layer = ctx.layer_of(row)
    if not has_truth(ctx, layer):
        return None
    config = {**_config(ctx, row, layer), "concepts": "fine", "truths": "named"}
    key = identity({"evaluate": config})
    run = find_run(ctx.db, "evaluate", key)
    return FinePlan(row, layer, key, config, run.result if run is not None and run.status == "done" else None)


def plan_evaluation(ctx: Context, row: DictionaryRow) -> EvaluationPlan:
    """Find the evaluation of a dictionary under these settings, or plan it."""
    layer = ctx.layer_of(row)
    config = _config(ctx, row, layer)
    key = identity({"evaluate": config})
    run = find_run(ctx.db, "evaluate", key)
    known = Evaluation.from_dict(run.result) if run is not None and run.status == "done" else None
    return EvaluationPlan(row, layer, key, config, known)


def _config(ctx: Context, row: DictionaryRow, layer: Layer) -> dict[str, Any]:
    """Return everything that the figures of a dictionary depend on."""
    return {
        **ctx.made_of(layer),
        "capture_steps": row.steps,
        "version": VERSION,
        "truth": has_truth(ctx, layer),
        "harvested": ctx.available(ctx.settings.images),
        "dictionary": row.identity,
        "weights": row.weights_sha256,
        "images": ctx.settings.evaluate_images,
        "seed": ctx.settings.seed,
    }


def feature_states(ctx: Context, row: DictionaryRow) -> list[str]:
    """Return the state of each feature of a dictionary; none before its first harvest."""
    with ctx.db.session() as session:
        return [str(feature.state) for feature in queries.features.of_dictionary(session, row.id)]


def has_truth(ctx: Context, layer: Layer) -> bool:
    """Whether the truth is known in a layer's cells: for images that the world's model generates in its own size."""
    own_size = ctx.generation.size == ctx.description.defaults.size and not ctx.prompts.sizes
    own = ctx.world.truth is not None and own_size and ctx.settings.images_dir is None
    return own and layer.stream == "image"
