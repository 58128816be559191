"""What the eyes of shapes-vlm know on held-out pictures, read by the heads of their training."""

from __future__ import annotations

import numpy as np
import torch

from autointerp.labeling.judging.intervals import auroc
from training.shapes.wide.eyes import GROUPS, SEVERAL, EyesTrainer, at_marks, to_eyes
from training.shapes.wide.truth import ATOMS
from training.shapes.wide.words import PARTS, PLACES

KNOWN = 0.8
"""Share of its views in which a word is read right, from which on it is known."""
LEAST_VIEWS = 5


@torch.no_grad()
def eyes_figures(trainer: EyesTrainer, views: int, seed: int = 0) -> dict[str, float]:
    """Shares of marked views of the trainer's pool read right, by kind, and of how many words that is known.

    Of parts and places, of which several hold in a cell, the AUROC by which each is told, as the mean over words and
    that of the worst.

    The trainer's averaged weights are read; its pool should be of held-out pictures.
    """
    trainer.average.swap()
    rows = [i for _, first, count in GROUPS for i in range(first, first + count)]
    right: dict[str, list[bool]] = {ATOMS[i][1]: [] for i in rows}
    several, several_hold = [], []
    rng = np.random.default_rng((seed, 75))
    for _ in range(0, views, 96):
        shown = [one for one in trainer.draw(rng, 112) if one.cell]
        hold = at_marks(trainer.pool, shown)
        seen = trainer.model.norm(trainer.model.eyes(to_eyes(trainer.views_of(shown))).last_hidden_state[:, 0])
        several.append(trainer.model.several(seen).numpy())
        several_hold.append(hold[:, SEVERAL] > 0)
        logits = trainer.model.marked(seen).split([count for _, _, count in GROUPS], 1)
        for (_, first, count), own in zip(GROUPS, logits, strict=True):
            for said, wanted in zip(own.argmax(1).tolist(), hold[:, first : first + count], strict=True):
                if wanted.any():
                    right[ATOMS[first + int(wanted.argmax())][1]].append(said == int(wanted.argmax()))
    trainer.average.swap()
    figures = {}
    for kind, first, count in GROUPS:
        words = [ATOMS[i][1] for i in range(first, first + count)]
        every = [ok for word in words for ok in right[word]]
        figures[kind] = float(np.mean(every)) if every else float("nan")
        known = [word for word in words if len(right[word]) >= LEAST_VIEWS and np.mean(right[word]) >= KNOWN]
        figures[f"{kind} words known"] = float(len(known))
    told, holds = np.concatenate(several), np.concatenate(several_hold)
    for kind, of in (("part", PARTS), ("place", PLACES)):
        of_kind = [(told[:, i], holds[:, i]) for i, row in enumerate(SEVERAL) if ATOMS[row][1] in of]
        read = [auroc(value[hold], value[~hold]) for value, hold in of_kind if hold.any() and not hold.all()]
        figures[f"{kind}, mean AUROC"] = float(np.mean(read))
        figures[f"{kind}, AUROC of the worst"] = float(min(read))
    return figures
