"""What shapes-vlm gets right of the questions of its second training, on pictures that no trainer saw.

Questions go through the model as a labeler's and a judge's do, one mark a request.
"""

from __future__ import annotations

import numpy as np

from autointerp.labeling.asking.constraint import VERDICT
from autointerp.labeling.asking.local_vlm import LocalVlm
from autointerp.labeling.asking.replies import LabelReply, UnreadableReply, parse_reply
from autointerp.shapes.scenes import ATTRIBUTES, GRID
from training.shapes.refine.questions import PART_NAMES, RefiningQuestions
from training.shapes.refine.simulated import Directions
from training.shapes.vlm_features import markable_cells
from training.shapes.vlm_measure import balanced
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import JudgeQuestion, LabelQuestion, Shown
from training.shapes.vlm_requests import messages
from training.shapes.vlm_text import concept_name

SORTS = ("edge", "inside", "beside", "far")
"""Sorts of cells: of the background, those that touch an object, and all others."""
BATCH = 48
CROPS, NEGATIVES = 20, 3
"""What a labeler shows."""


def sorts_of_cells(part: np.ndarray) -> np.ndarray:
    """Return the sort of each cell, as an index into `SORTS`.

    Args:
        part: int [n, GRID, GRID], as of `Pool.cells["part"]`.
    """
    near = np.zeros(part.shape, bool)
    on = np.pad(part >= 0, ((0, 0), (1, 1), (1, 1)))
    for down in range(3):
        for right in range(3):
            near |= on[:, down : down + GRID, right : right + GRID]
    sorts = np.where(near, SORTS.index("beside"), SORTS.index("far"))
    for name in ATTRIBUTES["part"]:
        sorts[part == ATTRIBUTES["part"].index(name)] = SORTS.index(name)
    return sorts.astype(np.int8)


def _said_yes(vlm: LocalVlm, pool: Pool, asked: list[JudgeQuestion]) -> np.ndarray:
    yes: list[bool] = []
    order = sorted(range(len(asked)), key=lambda i: (len(asked[i].name), asked[i].name))
    for start in range(0, len(order), BATCH):
        requests = [messages(pool, asked[i]) for i in order[start : start + BATCH]]
        yes += [answer.shares[0] > 0.5 for answer in vlm.choose(requests, VERDICT)]
    found = np.zeros(len(asked), bool)
    found[order] = yes
    return found


def judging_probe(vlm: LocalVlm, pool: Pool, count: int, seed: int = 0) -> dict[str, float]:
    """Balanced accuracy of judging marks, by kind of name, and of judging whole pictures."""
    questions = RefiningQuestions(pool)
    figures: dict[str, float] = {}
    for sort, marked in (("marks", True), ("pictures", False)):
        asked = []
        for n in range(count if marked else count // 3):
            question = questions.judge(np.random.default_rng((seed, 85, n)), 1, marked)
            asked += [question] if question else []
        truth = np.array([q.answers[0] for q in asked])
        yes, kinds = _said_yes(vlm, pool, asked), np.array([q.kind for q in asked])
        figures[sort] = balanced(truth, yes)
        figures |= {
            f"{sort}, {kind}": balanced(truth[kinds == kind], yes[kinds == kind]) for kind in sorted(set(kinds))
        }
    return figures


def parts_probe(vlm: LocalVlm, pool: Pool, count: int, seed: int = 0) -> dict[str, float]:
    """How often `edge of objects`, `inside of objects` and `object` are said to hold, by the sort of cell."""
    cells = np.argwhere(np.ones_like(pool.cells["part"], bool))
    chosen = cells[np.random.default_rng((seed, 86)).choice(len(cells), count, replace=False)]
    sorts = sorts_of_cells(pool.cells["part"])[tuple(chosen.T)]
    figures: dict[str, float] = {}
    for names in PART_NAMES.values():
        shown = [Shown(picture, (row, col)) for picture, row, col in chosen.tolist()]
        nowhere = np.zeros((1, *pool.cells["part"].shape[1:]), bool)
        yes = _said_yes(vlm, pool, [JudgeQuestion(names[0], "", (s,), (False,), "part", nowhere) for s in shown])
        figures |= {f"{names[0]}, {sort}": float(yes[sorts == i].mean()) for i, sort in enumerate(SORTS)}
    return figures


def naming_probe(vlm: LocalVlm, pool: Pool, count: int, seed: int = 0) -> dict[str, float]:
    """Exact names of what the shown cells speak for, and how often cells that speak for nothing get a name."""
    questions = RefiningQuestions(pool)
    questions.bank = Directions(pool, markable_cells(pool, seed)).bank(max(count // 3, 1), seed)
    asked: list[LabelQuestion] = []
    for n in range(count):
        question = questions.label(np.random.default_rng((seed, 87, n)), CROPS, NEGATIVES)
        asked += [question] if question else []
    replies = vlm.answer([messages(pool, q) for q in asked], batch=4)
    names = []
    for text in replies:
        try:
            reply = parse_reply(text, LabelReply)
            names.append(reply.name if reply.interpretable else "")
        except UnreadableReply:
            names.append("?")
    wanted = [concept_name(q.answer) if q.answer else "" for q in asked]
    said, kinds = np.array(names), np.array([q.answer.kind if q.answer else "nothing" for q in asked])
    right = said == np.array(wanted)
    figures = {"questions": float(len(asked)), "nothing, share": float((kinds == "nothing").mean())}
    figures["exact, of those with a concept"] = float(right[kinds != "nothing"].mean())
    figures |= {f"exact, {kind}": float(right[kinds == kind].mean()) for kind in sorted(set(kinds) - {"nothing"})}
    figures["concept, but said to be nothing"] = float((said[kinds != "nothing"] == "").mean())
    figures["nothing, but named"] = float((said[kinds == "nothing"] != "").mean())
    return figures
