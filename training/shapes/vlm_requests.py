"""Questions to shapes-vlm as the requests that labelers and judges send, and their pictures as its eyes get them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from autointerp.crops.geometry import crop_box
from autointerp.labeling.asking.messages import marked_view, whole_picture
from autointerp.labeling.asking.pictures import Picture
from autointerp.labeling.asking.templates import load_prompt
from autointerp.labeling.protocol import CropEvidence
from autointerp.shapes.scenes import GRID, SIZE
from training.shapes.vlm_model import SIDE
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import ApartQuestion, JudgeQuestion, LabelQuestion, Shown
from training.shapes.vlm_text import MARK


def evidence(pool: Pool, shown: Shown) -> CropEvidence:
    """A picture of the pool as labelers and judges are given it."""
    picture = Image.fromarray(pool.pictures[shown.picture])
    grid, size = (GRID, GRID), (SIZE, SIZE)
    box = crop_box(shown.cell, grid, size) if shown.cell else (0, 0, *size)
    return CropEvidence(
        0, shown.picture, "", picture, box, grid, shown.cell, float(shown.cell is not None), None,
        "top" if shown.cell else "negative",
    )  # fmt: skip


def small(view: Image.Image) -> np.ndarray:
    """A view as the eyes get it, uint8 [96, 96, 3]."""
    return np.asarray(view.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


@cache
def mark_of_cell(cell: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What the mark of a cell multiplies a small picture by, and what it adds: two float32 [96, 96, 3].

    Read off a black and a white picture, which is exact but for the pixels that the mark's border runs through.
    """
    black, white = (np.full((1, SIZE, SIZE, 3), value, np.uint8) for value in (0, 255))
    added, all_on = (
        small(marked_view(evidence(Pool(picture, {}), Shown(0, cell)))[0]).astype(np.float32)
        for picture in (black, white)
    )
    return (all_on - added) / 255, added


class Views:
    """The pictures of a pool as the eyes get them, whole or marked."""

    def __init__(self, pool: Pool) -> None:
        every = range(len(pool))
        self.wholes = np.stack([small(whole_picture(evidence(pool, Shown(i)))[0]) for i in every])

    def __call__(self, shown: Sequence[Shown]) -> np.ndarray:
        """Views, uint8 [n, 96, 96, 3]."""
        views = self.wholes[[s.picture for s in shown]]
        for i, s in enumerate(shown):
            if s.cell:
                kept, added = mark_of_cell(s.cell)
                views[i] = np.clip(np.rint(views[i] * kept + added), 0, 255)
        return views


LABEL_VALUES: dict[str, Any] = {"marked": True, "mark": MARK, "context": False}
"""How labelers show crops to shapes-vlm: marked, without the same picture unmarked beside them."""


@cache
def filled(prompt: str, **values: object) -> str:
    """A prompt file with its values filled in."""
    return load_prompt(prompt).render(**values)


def asked(question: LabelQuestion | JudgeQuestion | ApartQuestion) -> tuple[str, list[tuple[str, list[Shown]]]]:
    """The system's text and, heading by heading, the images below it, as labelers and judges send them."""
    if isinstance(question, LabelQuestion):
        told = filled("label.md.j2", **LABEL_VALUES, negatives=bool(question.negatives), notes="")
        shown = [(f"Example {n}:", [s]) for n, s in enumerate(question.crops, 1)]
        return told, shown + [(f"Does not fire, {n}:", [s]) for n, s in enumerate(question.negatives, 1)]
    if isinstance(question, ApartQuestion):
        told = filled("apart.md.j2", name="NAME", others=len(question.others), mark=MARK, notes="")
        shown = [(f"Feature A, example {n}:", [s]) for n, s in enumerate(question.own, 1)]
        for number, cells in enumerate(question.others, 1):
            shown += [(f"Other feature {number}, example {n}:", [s]) for n, s in enumerate(cells, 1)]
        return told.replace("NAME", question.name), shown
    count = len(question.shown)
    prompt = "fuzz.md.j2" if question.shown[0].cell else "detect.md.j2"
    explained = "EXPLAINED" * bool(question.explanation)
    told = filled(prompt, name="NAME", explanation=explained, count=count, mark=MARK)
    told = told.replace("NAME", question.name).replace("EXPLAINED", question.explanation)
    return told, [(f"Image {n}:", [s]) for n, s in enumerate(question.shown, 1)]


def messages(pool: Pool, question: LabelQuestion | JudgeQuestion | ApartQuestion) -> list[dict[str, Any]]:
    """A question as the request that `VlmLabeler` or `VlmJudge` would send, but that its images are no data URIs."""
    told, below = asked(question)
    content: list[dict[str, Any]] = []
    for heading, shown in below:
        content.append({"type": "text", "text": heading})
        for s in shown:
            view = (marked_view if s.cell else whole_picture)(evidence(pool, s))[0]
            content.append({"type": "image", "image": Picture.of(view)})
    return [{"role": "system", "content": told}, {"role": "user", "content": content}]
