"""How well shapes-vlm names and judges: shares of right answers to questions about pictures that no trainer saw.

Questions go through the model as a labeler's and a judge's do: as messages, read back by `labeling.replies`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.labeling.asking.local_vlm import LocalVlm
from autointerp.labeling.asking.replies import DetectReply, LabelReply, UnreadableReply, parse_reply
from autointerp.shapes.truth import names_truth
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import JudgeQuestion, LabelQuestion, Questions
from training.shapes.vlm_requests import messages


def _label(text: str) -> LabelReply | None:
    try:
        return parse_reply(text, LabelReply)
    except UnreadableReply:
        return None


def _right(reply: LabelReply | None, question: LabelQuestion) -> bool:
    """Whether a reply names the drawn concept, or says that there is none to name."""
    if reply is None:
        return False
    if question.drawn is None:
        return not reply.interpretable
    return reply.interpretable and names_truth(reply.name, question.drawn)


def naming_figures(
    vlm: LocalVlm, pool: Pool, count: int, seed: int = 0, about: Sequence[str] = (), crops: int = 10
) -> dict[str, float]:
    """Shares of naming questions answered right, by what was to be named.

    `specific`: of those about anything but a background and plain object, which is what `evaluate` means by it.
    `looks`: of these without parts, one word or a pair.
    `teacher`: the share of all in which the exact truth of the shown cells speaks for the drawn concept, which is
    as good as an answer can be. `confidence off by`: the mean distance of stated confidence from the share that is
    right, over the tenths that are stated. With `about` the figures are by concept.
    """
    questions = Questions(pool)
    asked: list[LabelQuestion] = []
    for n in range(count):
        rng = np.random.default_rng((seed, 66, n))
        question = questions.label(rng, crops, 3, about[n % len(about)] if about else "")
        asked += [question] if question else []
    replies = [_label(text) for text in vlm.answer([messages(pool, q) for q in asked])]
    right = np.array([_right(r, q) for r, q in zip(replies, asked, strict=True)])
    kinds = np.array([q.drawn.kind if q.drawn else "nothing" for q in asked])
    figures = {"readable": float(np.mean([r is not None for r in replies]))}
    if about:
        names = np.array([q.drawn.name if q.drawn else "" for q in asked])
        return figures | {name: float(right[names == name].mean()) for name in about if (names == name).any()}
    specific = np.array([q.drawn is not None and q.drawn.specific for q in asked])
    figures["specific"] = float(right[specific].mean())
    figures["looks"] = float(right[specific & (kinds != "part")].mean())
    figures |= {str(kind): float(right[kinds == kind].mean()) for kind in sorted(set(kinds))}
    said = [(r.confidence or 0.0, ok) for r, ok in zip(replies, right, strict=True) if r is not None]
    tenths: dict[float, list[bool]] = {}
    for confidence, ok in said:
        tenths.setdefault(round(confidence, 1), []).append(bool(ok))
    off = sum(len(oks) * abs(tenth - np.mean(oks)) for tenth, oks in tenths.items())
    figures["confidence off by"] = float(off / max(len(said), 1))
    figures["teacher"] = float(np.mean([q.drawn == q.answer for q in asked]))
    return figures


def judging_figures(
    vlm: LocalVlm, pool: Pool, count: int, batch: int, marked: bool, seed: int = 0, about: Sequence[str] = ()
) -> dict[str, float]:
    """Balanced accuracy of judging, over all and by what the label says; unreadable replies count as neither.

    `answered`: the share of pictures with a readable answer.
    """
    questions = Questions(pool)
    asked: list[JudgeQuestion] = []
    for n in range(count):
        rng = np.random.default_rng((seed, 67, n))
        question = questions.judge(rng, batch, marked, about[n % len(about)] if about else "")
        asked += [question] if question else []
    truths: list[bool] = []
    said: list[bool] = []
    groups: list[str] = []
    for text, question in zip(vlm.answer([messages(pool, q) for q in asked]), asked, strict=True):
        try:
            answers = parse_reply(text, DetectReply).answers
        except UnreadableReply:
            continue
        if len(answers) == len(question.answers):
            said += answers
            truths += question.answers
            groups += [question.kind] * len(answers)
    figures = {"answered": len(said) / max(sum(len(q.answers) for q in asked), 1)}
    truth, answer, kinds = np.array(truths, bool), np.array(said, bool), np.array(groups)
    figures["balanced accuracy"] = balanced(truth, answer)
    for kind in sorted(set(groups) - {"foreign"}):
        figures[kind] = balanced(truth[kinds == kind], answer[kinds == kind])
    if "foreign" in groups:
        figures["foreign refused"] = float((~answer[kinds == "foreign"]).mean())
    return figures


def balanced(truth: np.ndarray, answer: np.ndarray) -> float:
    """Return the mean of the shares of true and of false questions that are answered right."""
    shares = [(answer[truth == value] == value).mean() for value in (True, False) if (truth == value).any()]
    return float(np.mean(shares)) if shares else float("nan")
