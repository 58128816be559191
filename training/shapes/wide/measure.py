"""What shapes-vlm knows of the wider world, and whether it tells features apart, on pictures that no trainer saw.

Questions go through the model as a labeler's do: cells marked, one a picture, in requests of their prompts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from autointerp.labeling.asking.local_vlm import LocalVlm
from autointerp.labeling.asking.replies import ApartReply, LabelReply, UnreadableReply, parse_reply
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import ApartQuestion, LabelQuestion
from training.shapes.vlm_requests import messages
from training.shapes.wide.apart import ApartQuestions
from training.shapes.wide.marks import MarkBank
from training.shapes.wide.pool import WidePool, renders_pool
from training.shapes.wide.questions import WideQuestions
from training.shapes.wide.reply_form import ApartForm
from training.shapes.wide.sayings import plural
from training.shapes.wide.scenes import draw_pair, sample_wide_scene
from training.shapes.wide.words import (
    EXCLUSIVE,
    KIND_OF,
    KINDS,
    LEFT_OUT,
    NEVER_SEEN,
    SHAPES,
    WORDS,
    WORLD,
)

KNOWN = 0.8
"""Share of its questions in which a word is named right, from which on it is known."""
CROPS, NEGATIVES = 20, 3
"""What a labeler shows."""
SCENES = 40
"""Held-out renders that show each word at least, and half as many each pair."""
BATCH = 4


def words_of(name: str) -> frozenset[str]:
    """Return the words of the wider world that a name says, singular or plural, the longest first."""
    found, rest = set(), name.lower()
    said = {plural(shape): shape for shape in SHAPES} | {"objects": "object"}
    # The longest first: the background `leaves` is no plural of `leaf`.
    said |= {f"{ground} background": ground for ground in EXCLUSIVE["background"]}
    said |= {word: word for word in WORDS if word not in said}
    for text in sorted(said, key=len, reverse=True):
        rest, count = re.subn(rf"\b{re.escape(text)}\b", "|", rest)
        if count:
            found.add(said[text])
    return frozenset(found)


def names_words(name: str, words: Iterable[str]) -> bool:
    """Return whether a name says all of some words, and no second one of a kind of which cells have one."""
    said = words_of(name)
    rivals = {kind for word in words if (kind := KIND_OF[word]) in EXCLUSIVE}
    return set(words) <= said and not any(KIND_OF[one] in rivals for one in said - set(words))


def held_out_words(seed: int = 0) -> WidePool:
    """Return held-out renders of which each word of a look and each background is in `SCENES` at least."""
    rng = np.random.default_rng((seed, 88))
    count = SCENES * max(map(len, EXCLUSIVE.values()))
    orders = {
        kind: rng.permutation(np.resize(np.array(EXCLUSIVE[kind]), count)) for kind in EXCLUSIVE if kind != "size"
    }
    scenes = []
    for n in range(count):
        having = [str(order[n]) for order in orders.values()]
        scenes.append(sample_wide_scene(np.random.default_rng((seed, 89, n)), False, having))
    for n in range(SCENES):
        scenes.append(sample_wide_scene(np.random.default_rng((seed, 90, n)), False, ["huge"]))
    return renders_pool(scenes)


def pairs_seen(seed: int = 0) -> list[tuple[str, str]]:
    """Return as many pairs that training may have had as are left out of it, with a word of the wider world each."""
    rng = np.random.default_rng((seed, 91))
    found: list[tuple[str, str]] = []
    while len(found) < len(pairs_left_out()):
        pair = draw_pair(rng)
        found += [] if set(pair) <= WORLD else [pair]
    return found


def held_out_pairs(pairs: Sequence[tuple[str, str]], seed: int = 0) -> WidePool:
    """Return held-out renders with an object of each pair."""
    return renders_pool(
        sample_wide_scene(np.random.default_rng((seed, 92, i, n)), False, pair)
        for i, pair in enumerate(pairs)
        for n in range(SCENES // 2 + 4)
    )


def _names(vlm: LocalVlm, pool: WidePool, asked: Sequence[LabelQuestion]) -> list[str]:
    pictures, names = Pool(pool.pictures, {}), []
    for text in vlm.answer([messages(pictures, question) for question in asked], batch=BATCH):
        try:
            reply = parse_reply(text, LabelReply)
            names.append(reply.name if reply.interpretable else "")
        except UnreadableReply:
            names.append("")
    return names


def asked_about(
    pool: WidePool, concepts: Sequence[frozenset[str]], count: int, seed: int = 0
) -> list[tuple[frozenset[str], LabelQuestion]]:
    """Return `count` questions about cells of each concept; fewer where fewer pictures show it."""
    bank = MarkBank(pool, np.ones((len(pool), *pool.cells.owner.shape[1:]), bool))
    questions, marks = WideQuestions(bank), np.arange(len(bank))
    found: list[tuple[frozenset[str], LabelQuestion]] = []
    for i, words in enumerate(concepts):
        having = bank.having(words, marks)
        for n in range(count if bank.pictures(having) >= CROPS else 0):
            rng = np.random.default_rng((seed, 93, i, n))
            found.append((words, questions.question(bank.draw(having, CROPS, rng), words, NEGATIVES, rng)))
    return found


def word_figures(vlm: LocalVlm, count: int, seed: int = 0) -> tuple[dict[str, float], dict[str, float]]:
    """Return how many words are known, by kind, and the share of its `count` questions in which each is named right."""
    pool = held_out_words(seed)
    words = [frozenset([word]) for word in WORDS if word != "background"]
    asked = asked_about(pool, words, count, seed)
    names = _names(vlm, pool, [question for _, question in asked])
    right: dict[str, list[bool]] = {}
    for (drawn, _), name in zip(asked, names, strict=True):
        right.setdefault(min(drawn), []).append(names_words(name, drawn))
    shares = {word: float(np.mean(answers)) for word, answers in right.items()}
    taught = {word: share for word, share in shares.items() if word not in NEVER_SEEN}
    figures = {"words known": float(sum(share >= KNOWN for share in taught.values())), "words taught": len(taught)}
    for kind, values in KINDS.items():
        known = [taught[word] >= KNOWN for word in values if word in taught]
        figures[f"{kind}, known"], figures[f"{kind}, taught"] = float(sum(known)), float(len(known))
    figures["named right, words taught"] = float(np.mean(list(taught.values())))
    figures["named right, words never seen"] = float(np.mean([shares[word] for word in NEVER_SEEN]))
    return figures, shares


def pair_figures(
    vlm: LocalVlm, pairs: Sequence[tuple[str, str]], count: int, seed: int = 0
) -> tuple[float, dict[str, float]]:
    """Return the share of questions about pairs in which both words are named right, of all and of each pair."""
    pool = held_out_pairs(pairs, seed)
    asked = asked_about(pool, [frozenset(pair) for pair in pairs], count, seed)
    names = _names(vlm, pool, [question for _, question in asked])
    right: dict[str, list[bool]] = {}
    for (drawn, _), name in zip(asked, names, strict=True):
        right.setdefault(" ".join(sorted(drawn)), []).append(names_words(name, drawn))
    return float(np.mean([ok for answers in right.values() for ok in answers])), {
        pair: float(np.mean(answers)) for pair, answers in right.items()
    }


def apart_figures(vlm: LocalVlm, pool: WidePool, count: int, seed: int = 0) -> dict[str, float]:
    """Return what is answered right about features that share a name, in pictures of the world.

    The model is kept to the form of such replies from then on.

    `difference`: of the questions that have one, the share in which that very difference is said; `shuffled` is its
    control, the answers dealt out anew. `same`: of the namesakes that respond to the same, the share said to do so;
    `others said to be` is that share of the other namesakes.
    """
    bank = MarkBank(pool, np.ones((len(pool), *pool.cells.owner.shape[1:]), bool))
    questions = ApartQuestions(bank)
    asked: list[ApartQuestion] = []
    n = 0
    while len(asked) < count:
        question = questions.draw(np.random.default_rng((seed, 94, n)))
        asked += [question] if question else []
        n += 1
    vlm.form = ApartForm(vlm.tokenizer)
    replies: list[ApartReply | None] = []
    pictures = Pool(pool.pictures, {})
    for text in vlm.answer([messages(pictures, question) for question in asked], batch=BATCH):
        try:
            replies.append(parse_reply(text, ApartReply))
        except UnreadableReply:
            replies.append(None)
    read = [(q, r) for q, r in zip(asked, replies, strict=True) if r is not None]
    have = [(q.difference, r.difference) for q, r in read if q.difference]
    dealt = np.random.default_rng((seed, 95)).permutation([said for _, said in have])
    same = [(k in q.same, k in r.same) for q, r in read for k in range(1, len(q.others) + 1)]
    return {
        "readable": len(read) / len(asked),
        "difference": float(np.mean([wanted == said for wanted, said in have])),
        "difference, shuffled": float(np.mean([wanted == said for (wanted, _), said in zip(have, dealt, strict=True)])),
        "no difference, none said": float(np.mean([not r.difference for q, r in read if not q.difference])),
        "same": float(np.mean([said for is_same, said in same if is_same])),
        "others said to be": float(np.mean([said for is_same, said in same if not is_same])),
    }


def pairs_left_out() -> list[tuple[str, str]]:
    """Return the pairs that are left out of all trainings: pairs of words of the world were taught in earlier ones."""
    return [pair for pair in LEFT_OUT if not set(pair) <= WORLD]
