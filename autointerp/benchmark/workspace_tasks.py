"""Benchmarks on a workspace's pictures: features of a dictionary, beside synthetic units on the same pictures.

Tasks show pictures of the explain split, as the harvest drew them for each feature. Answers are what `evaluate` found
on its held-out images. So nothing is generated here, and a labeler sees what the workspace's own labelers see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autointerp.benchmark.answers import FEATURE, BenchmarkAnswers, BenchmarkUnit, joined
from autointerp.benchmark.recipe import Benchmark, BenchmarkRecipe, synthetic_benchmark
from autointerp.benchmark.scenes import BenchmarkPictures
from autointerp.benchmark.shown import ShownPicture, ShownUnit
from autointerp.benchmark.synthetic import LEAST_IMAGES
from autointerp.crops.geometry import crop_box
from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Feature
from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.verdict import Evaluated
from autointerp.stages.evaluate.planning import has_truth, plan_evaluation

SILENT = 10
"""Pictures named in which a feature is silent, at most."""


@dataclass(frozen=True)
class WorkspacePictures:
    """The pictures that are shown, by their ids: each with its number, and as a crop without a mark."""

    number: Mapping[int, int]
    pictures: Sequence[CropEvidence]


def workspace_benchmark(ctx: Context, row: DictionaryRow, recipe: BenchmarkRecipe, features: int) -> Benchmark:
    """Make a benchmark of a dictionary's features and of synthetic units, on the pictures of its workspace.

    Args:
        ctx: The command's view of the workspace.
        row: The dictionary.
        recipe: The seed, the synthetic units, and how many pictures and crops are shown.
        features: Features, at most; they are drawn from those that were active in enough pictures.

    Raises:
        UsageError: The truth of the layer's cells is not known.
        AutointerpError: The dictionary was not evaluated, or the harvest kept no sample of active cells.
    """
    own = _evaluated(ctx, row)
    reader = EvidenceReader(ctx.db, row)
    chosen, evidence = _drawn(ctx, row, reader, recipe, features)
    shown = _shown(ctx, row, reader, evidence, recipe)
    read = Oracle.load().read([one.picture for one in shown.pictures])
    cells = {name: np.concatenate([read[name], values]).astype(np.int8) for name, values in own.seen.cells.items()}
    pictures = BenchmarkPictures(
        np.stack([np.asarray(one.picture.convert("RGB")) for one in shown.pictures]),
        tuple(one.prompt for one in shown.pictures),
        cells,
        len(shown.pictures),
    )
    recipe = replace(recipe, shown=len(shown.pictures), held_out=own.seen.images)
    made = synthetic_benchmark(recipe, pictures, own.halves.seed)
    named = tuple(BenchmarkUnit(f"{row.name}:{one.latent_index}", row.name, FEATURE) for one in chosen)
    every = tuple(BenchmarkUnit(f"{row.name}:{latent}", row.name, FEATURE) for latent in range(row.num_latents))
    some = BenchmarkAnswers(every, own).of([one.latent_index for one in chosen]).truths
    answers = BenchmarkAnswers((*made.answers.units, *named), joined(made.answers.truths, some))
    units = tuple(_unit(one, by, shown) for one, by in zip(chosen, evidence, strict=True))
    return replace(made, answers=answers, features=units)


def _evaluated(ctx: Context, row: DictionaryRow) -> Evaluated:
    layer = ctx.layer_of(row)
    if not has_truth(ctx, layer):
        raise UsageError(
            f"the truth of {row.name} is not known", "take a workspace of shapes, with pictures in its own size"
        )
    known = plan_evaluation(ctx, row).known
    own = None if known is None else known.features_truths
    if own is None:
        raise AutointerpError(
            f"{row.name} was not evaluated",
            f"run `autointerp evaluate --layer {row.layer} --dictionary {row.name}` first",
        )
    return own


def _drawn(
    ctx: Context, row: DictionaryRow, reader: EvidenceReader, recipe: BenchmarkRecipe, count: int
) -> tuple[list[Feature], list[FeatureEvidence]]:
    """Draw features that were active in enough pictures; return them with what is shown of each."""
    with ctx.db.session() as session:
        live = sorted(queries.features.of_dictionary(session, row.id, "live"), key=lambda one: one.latent_index)
        session.expunge_all()
    rng = np.random.default_rng((recipe.seed, 89))
    chosen: list[tuple[Feature, FeatureEvidence]] = []
    for at in rng.permutation(len(live)).tolist():
        if len(chosen) == count:
            break
        (evidence,) = reader.features([live[at]], recipe.crops)
        if len(evidence.cells) >= LEAST_IMAGES:
            chosen.append((live[at], evidence))
    if not chosen:
        raise AutointerpError(
            f"no sample of active cells was kept for {row.name}", f"run `autointerp harvest --layer {row.layer}` first"
        )
    chosen.sort(key=lambda one: one[0].latent_index)
    return [one for one, _ in chosen], [evidence for _, evidence in chosen]


def _shown(
    ctx: Context,
    row: DictionaryRow,
    reader: EvidenceReader,
    evidence: Sequence[FeatureEvidence],
    recipe: BenchmarkRecipe,
) -> WorkspacePictures:
    """Choose the pictures that are shown: those of the features, and others of the explain split up to the number."""
    with ctx.db.session() as session:
        ids = queries.crops.image_ids(session, row.id, "explain")
    needed = {crop.image_id for one in evidence for crop in one.cells}
    needed |= {crop.image_id for one in evidence for crop in one.negatives[:SILENT]}
    others = [image for image in ids if image not in needed]
    order = np.random.default_rng((recipe.seed, 97)).permutation(len(others)).tolist()
    more = [others[at] for at in order[: max(0, recipe.shown - len(needed))]]
    shown = sorted([*needed, *more])
    pictures = reader.pictures(shown)
    return WorkspacePictures(
        {image: number for number, image in enumerate(shown)}, [pictures[image] for image in shown]
    )


def _unit(feature: Feature, evidence: FeatureEvidence, shown: WorkspacePictures) -> ShownUnit:
    pictures = []
    for crop in evidence.cells:
        assert crop.cell is not None
        assert crop.activation_map is not None
        box = crop_box(crop.cell, crop.grid, crop.picture.size)
        pictures.append(ShownPicture(shown.number[crop.image_id], crop.cell, box, crop.activation_map))
    silent = tuple(shown.number[crop.image_id] for crop in evidence.negatives[:SILENT])
    return ShownUnit(tuple(pictures), silent, feature.max_activation, feature.density)
