"""Which evidence gives the truest names, on a workspace of a shapes model.

The pictures are those of the explain split. The oracle labeler reads their cells exactly and follows one rule. It names
a concept that enough of the shown cells share, that holds there more often than elsewhere by the odds ratio of a truth,
and whose every word says something, as for a truth. Of several it names the one of the largest lift. shapes-vlm is
asked with its own prompts. Names are held against the truths that `evaluate` finds on held-out images.

    python -m benchmarks.evidence WORKSPACE --layer mid
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from autointerp.labeling.judging.intervals import wilson
from autointerp.labeling.labelers.feature_messages import Evidence, spread
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.concepts import Concept, concept_masks
from autointerp.shapes.earned_words import ActiveEntries, EarnedWords
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.label_verdict import relation
from autointerp.shapes.truth import MIN_ODDS_RATIO, FeatureTruth, odds_ratios

if TYPE_CHECKING:
    from autointerp.labeling.asking.local import LocalChat

AGREE = (0.65, 0.7, 0.75, 0.8)
"""Shares of the shown cells that must share a concept, for the oracle labeler."""
FLOOR = 0.25
"""Crops below this share of the feature's strongest are not shown as peaks, as for a VLM."""
LEAST = 4
"""Pictures without which nothing is named."""

MasksOf = Callable[[dict[str, np.ndarray]], tuple[list[Concept], np.ndarray]]
"""Returns a list of concepts, and the cells in which each holds."""
Chosen = Callable[[FeatureEvidence, int], "list[tuple[CropEvidence, np.ndarray]]"]
"""Returns the pictures that are shown of a feature, each with its marked cells, bool [rows, cols]."""


@dataclass(frozen=True)
class Outcome:
    """The names of all features by one way, held against the truths.

    `specific`, `grounded` and `exact` are (right, all); `truthless` is (named, all).
    """

    way: str
    specific: tuple[int, int]
    grounded: tuple[int, int]
    exact_specific: tuple[int, int]
    exact: tuple[int, int]
    truthless: tuple[int, int]


def _cell(crop: CropEvidence) -> np.ndarray:
    mask = np.zeros(crop.grid, bool)
    if crop.cell is not None:
        mask[crop.cell] = True
    return mask


def peaks(feature: FeatureEvidence, count: int) -> list[tuple[CropEvidence, np.ndarray]]:
    """The stored crops, spread over the strengths, each at its strongest cell."""
    strongest = max((crop.activation for crop in feature.crops), default=0.0)
    fired = [crop for crop in feature.crops if crop.activation >= FLOOR * strongest]
    return [(crop, _cell(crop)) for crop in spread(fired, count)]


def quantiles(feature: FeatureEvidence, count: int) -> list[tuple[CropEvidence, np.ndarray]]:
    """The crops that were drawn evenly over the strengths, each at its strongest cell."""
    strongest = max((crop.activation for crop in feature.crops), default=0.0)
    drawn = [crop for crop in feature.crops if crop.role == "quantile" and crop.activation >= FLOOR * strongest]
    return [(crop, _cell(crop)) for crop in spread(drawn, count)]


def cells(feature: FeatureEvidence, count: int) -> list[tuple[CropEvidence, np.ndarray]]:
    """Pictures drawn by their number of active cells, each at one active cell."""
    return [(crop, _cell(crop)) for crop in feature.cells[:count]]


def maps(feature: FeatureEvidence, count: int) -> list[tuple[CropEvidence, np.ndarray]]:
    """Pictures drawn by their number of active cells, each at all active cells."""
    return [(crop, crop.active) for crop in feature.cells[:count] if crop.active is not None]


CHOSEN: dict[str, Chosen] = {"peaks": peaks, "quantiles": quantiles, "cells": cells, "maps": maps}


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path, exists=True))
@click.option("--layer", default="mid", show_default=True)
@click.option("--images", default=1000, show_default=True, help="Held-out images that truths are found on.")
@click.option("--count", "counts", multiple=True, type=int, default=(10, 20, 40), help="Pictures; repeatable.")
@click.option("--vlm", "asks_vlm", is_flag=True, help="Ask shapes-vlm too.")
@click.option("--vlm-count", "vlm_counts", multiple=True, type=int, default=(20,), help="Pictures for it; repeatable.")
@click.option("--kept", type=click.Path(path_type=Path), help="Folder of shapes-vlm's names, read and added to.")
def main(
    workspace: Path,
    layer: str,
    images: int,
    counts: tuple[int, ...],
    asks_vlm: bool,
    vlm_counts: tuple[int, ...],
    kept: Path | None,
) -> None:
    """Print what the names of each way are worth."""
    from autointerp.db import queries
    from autointerp.stages.evaluate.evaluating import truths_of

    ctx = Context(WorkspaceFolder.open(workspace), evaluate_images=images)
    row = ctx.dictionary_of(layer)
    assert row is not None
    truths = truths_of(ctx, row)
    reader = EvidenceReader(ctx.db, row)
    with ctx.db.session() as session:
        rows = sorted(queries.features.of_dictionary(session, row.id, "live"), key=lambda one: one.latent_index)
        session.expunge_all()
    world = ReadWorld.of(ctx, reader)
    most = max(*counts, *vlm_counts)
    shown = {feature.latent_index: one for feature, one in zip(rows, reader.stream(rows, most), strict=True)}
    outcomes = []
    for way, chosen in CHOSEN.items():
        for count in counts:
            for agree in AGREE:
                names = {latent: world.named(chosen(one, count), agree) for latent, one in shown.items()}
                outcomes.append(judged(f"exact eyes, {way}, {count}, {agree:g} agree", names, truths, world))
    for way, chosen in CHOSEN.items():
        names = {latent: world.named(chosen(one, 20), 0.75, contrast=False) for latent, one in shown.items()}
        outcomes.append(judged(f"exact eyes, {way}, 20, 0.75 agree, no base rates", names, truths, world))
    if asks_vlm:
        outcomes += vlm_outcomes(shown, truths, world, vlm_counts, kept)
    click.echo(table(outcomes))


class ReadWorld:
    """What is true of the cells of the explain split, and how often it is true in random cells.

    Args:
        images: Ids of the pictures, in the order of the cells.
        read: What the oracle reads in their cells, as for `concept_masks`.
        drawn: Random cells of the layer: (image id, row, column). Without any, base rates are of all cells.
        masks_of: Returns the concepts that names are chosen from, with their cells; the coarse list if not given.
    """

    def __init__(
        self,
        images: Sequence[int],
        read: dict[str, np.ndarray],
        drawn: Sequence[tuple[int, int, int]] = (),
        masks_of: MasksOf = concept_masks,
    ) -> None:
        self.concepts, self._masks = masks_of(read)
        self._at = {image: n for n, image in enumerate(images)}
        self._earned = EarnedWords(self.concepts, self._masks)
        self.extension = cache(Atoms.of_cells(read).extension)
        there = [(self._at[image], row, col) for image, row, col in drawn if image in self._at]
        self._base = self._masks.reshape(len(self._masks), -1).mean(1)
        if there:
            self._base = self._masks[(slice(None), *np.array(there).T)].mean(1)

    @classmethod
    def of(cls, ctx: Context, reader: EvidenceReader, masks_of: MasksOf = concept_masks) -> ReadWorld:
        """Read the pictures of a dictionary's crops."""
        from autointerp.db import queries
        from autointerp.shapes.oracle import Oracle

        with ctx.db.session() as session:
            ids = queries.crops.image_ids(session, reader.dictionary.id, "explain")
        pictures = reader.pictures(ids)
        read = Oracle.load().read([pictures[image].picture for image in ids])
        drawn = reader.cells.random_cells("explain", 1000, 0)
        return cls(ids, read, [(one.image_id, *one.cell) for one in drawn if one.cell is not None], masks_of)

    def named(self, shown: Sequence[tuple[CropEvidence, np.ndarray]], agree: float, contrast: bool = True) -> str:
        """Return the name that the rule gives; empty where nothing is shared."""
        if len(shown) < LEAST:
            return ""
        # Pictures are drawn by their number of active cells, so that each counts as one.
        at = [self._at[crop.image_id] for crop, _ in shown]
        held = np.mean([self._masks[:, n, marked].mean(1) for n, (_, marked) in zip(at, shown, strict=True)], axis=0)
        words = np.array([len(concept.words) for concept in self.concepts])
        # A base rate of no drawn cell counts as half a cell.
        base = np.maximum(self._base, 0.0005)
        good, worth = held >= agree, words + held
        if contrast:
            good &= odds_ratios(held, base) >= MIN_ODDS_RATIO
            worth = np.round(held / base, 9) - 1e-6 * words
        cells = self._masks[0, 0].size
        flat = [np.flatnonzero(marked) + n * cells for n, (_, marked) in zip(at, shown, strict=True)]
        sizes = np.array([len(some) for some in flat])
        active = ActiveEntries(np.concatenate(flat), np.repeat(at, sizes))
        weights = np.zeros(self._earned.images)
        weights[at] = 1 / sizes
        for best in np.argsort(np.where(good, -worth, np.inf), kind="stable")[: int(good.sum())]:
            if not contrast or self._earned.holds(int(best), active, weights):
                return self.concepts[best].name
        return ""


def judged(way: str, names: Mapping[int, str], truths: Sequence[FeatureTruth | None], world: ReadWorld) -> Outcome:
    """Hold names against the truths."""
    from autointerp.shapes.truth import names_truth

    known = [(latent, truth.concept) for latent, truth in enumerate(truths) if truth is not None and latent in names]
    right = {latent: names_truth(names[latent], concept) for latent, concept in known}
    exact = {latent: is_exact(names[latent], concept, world) for latent, concept in known}
    specific = [latent for latent, concept in known if concept.specific]
    truthless = [latent for latent in names if truths[latent] is None]
    return Outcome(
        way,
        (sum(right[latent] for latent in specific), len(specific)),
        (sum(right.values()), len(known)),
        (sum(exact[latent] for latent in specific), len(specific)),
        (sum(exact.values()), len(known)),
        (sum(bool(names[latent]) for latent in truthless), len(truthless)),
    )


def is_exact(name: str, concept: Concept, world: ReadWorld) -> bool:
    """Return whether a name picks out the very cells of a concept, and no more."""
    return relation(world.extension(name).holds, world.extension(concept.name).holds) == "exact"


def vlm_outcomes(
    shown: Mapping[int, FeatureEvidence],
    truths: Sequence[FeatureTruth | None],
    world: ReadWorld,
    counts: Sequence[int],
    kept: Path | None = None,
) -> list[Outcome]:
    """Ask shapes-vlm for names by each evidence and number of pictures."""
    from autointerp.labeling.asking.local import BatchSize, LocalChat
    from autointerp.shapes.vlm import BATCH, MAX_TOKENS, NAME, PICTURES, load_shapes_vlm

    asker = LocalChat(load_shapes_vlm(), NAME, batch=BatchSize(BATCH, PICTURES), max_tokens=MAX_TOKENS)
    found = []
    for count in counts:
        for evidence in ("peaks", "quantiles", "cells", "maps"):
            file = None if kept is None else kept / f"{asker.model}.{evidence}.{count}.json"
            if file is not None and file.is_file():
                named = {int(latent): name for latent, name in json.loads(file.read_text()).items()}
            else:
                named = vlm_names(asker, shown, evidence, count)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(named))
            found.append(judged(f"shapes-vlm, {evidence}, {count}", named, truths, world))
            click.echo(line(found[-1]), err=True)
    return found


def vlm_names(asker: LocalChat, shown: Mapping[int, FeatureEvidence], way: str, count: int) -> dict[int, str]:
    """Return the names that shapes-vlm gives."""
    from autointerp.labeling.labelers.vlm import VlmLabeler
    from autointerp.shapes.vlm import OPTIONS

    evidence: Evidence = "cells" if way == "cells" else "maps" if way == "maps" else "peaks"
    labeler = VlmLabeler(asker, replace(OPTIONS, crops=count, evidence=evidence), jobs=32)
    features = {
        one.feature_id: replace(
            one,
            crops=tuple(crop for crop in one.crops if way != "quantiles" or crop.role == "quantile"),
            cells=one.cells[:count],
        )
        for one in shown.values()
    }
    answers = {answer.feature_id: answer.name for answer in labeler.label(features.values())}
    return {latent: answers[one.feature_id] for latent, one in shown.items()}


def line(one: Outcome) -> str:
    """Return a row of the table."""

    def share(part: tuple[int, int]) -> str:
        low, high = wilson(*part)
        return f"{part[0] / max(part[1], 1):.1%} ({low:.0%} to {high:.0%})"

    parts = (one.specific, one.grounded, one.exact_specific, one.exact, one.truthless)
    return "| " + " | ".join([one.way, *map(share, parts)]) + " |"


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a Markdown table."""
    head = "| labeler, evidence, pictures | specific | all | exact, specific | exact, all | truthless named |"
    return "\n".join([head, "|---" * 6 + "|", *map(line, outcomes)])


if __name__ == "__main__":
    main()
