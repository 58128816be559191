"""What tells a feature from its namesakes, by yes and no: a phrase that holds in its cells, and not in theirs.

A VLM that answers about one picture at a time cannot compare many. As VisDiff does with two sets of pictures (Dunlap et
al., arXiv 2312.02974), phrases are proposed, an embedder ranks them, and the best ones are verified: here a judge is
asked whether each holds at the marked cells of both sides. What is proposed was said of the layer already, by names and
by prompts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, product
from typing import TYPE_CHECKING

import numpy as np

from autointerp.labeling.asking.protocol import BudgetReached
from autointerp.labeling.evidence.grounding import named_region
from autointerp.labeling.evidence.phrases import (
    Phrase,
    clause_texts,
    clauses,
    frequent,
    runs_and_pairs,
    sample,
    without_regions,
)
from autointerp.labeling.evidence.windows import REGIONS, in_regions, places
from autointerp.labeling.labelers.apart import Difference, NamedAlike
from autointerp.labeling.namesakes import words_of
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, Judge, Trial

if TYPE_CHECKING:
    from autointerp.labeling.evidence.windows import WindowEmbedder

PROMPTED, LEAST_PROMPTS = 80, 5
"""Phrases that are taken from prompts at most, and prompts that must say each."""
_AT_ONCE = 16
"""Features about which is asked together."""


@dataclass(frozen=True)
class JudgedOptions:
    """How many questions a judge is asked, and what tells features apart."""

    ranked: int = 12
    """Phrases that are verified for each feature, the best ones by the embedder."""
    where: tuple[str, ...] = ()
    """Further phrases that are verified for each feature, whatever the embedder says: it does not see where in a crop
    the cell is, which a judge may."""
    rounds: tuple[tuple[int, int], ...] = ((3, 0), (8, 0), (8, 4))
    """Cells of the feature, and of each namesake, that were asked about after each round."""
    checked: int = 3
    """Phrases that are then looked at closely, the best ones by the judge."""
    closely: tuple[int, int] = (16, 8)
    """Cells of the feature, and of each namesake, that were asked about in the end."""
    holds: float = 0.5
    """The share of the feature's cells in which a difference holds at least."""
    clear: float = 0.4
    """How much more that is at least than the share of a namesake's cells."""


_Key = tuple[str, int, tuple[int, int] | None]
"""A phrase, and the image and cell about which it is asked."""


def proposals(names: Sequence[str], prompts: Sequence[str]) -> list[str]:
    """Return what may be said of a difference: the clauses of a layer's names, and words of names and of prompts.

    What more names say comes first, and what prompts alone say comes last.
    """
    whole = Counter(text.lower() for name in names for text in clause_texts(name))
    parts = frequent(map(_short, names), 1, len(names))
    said = frequent(map(_short, sample(prompts)), LEAST_PROMPTS, PROMPTED)
    return list(dict.fromkeys([*(text for text, _ in whole.most_common()), *map(" ".join, [*parts, *said])]))


def _short(text: str) -> set[Phrase]:
    """Return the places, the words and the pairs of words that a text says."""
    found: set[Phrase] = set()
    for clause in clauses(text):
        found |= {phrase for phrase in runs_and_pairs(without_regions(clause)) if len(phrase) < 3}
        place = named_region(clause)
        found |= set() if place is None else {tuple(REGIONS[place].split())}
    return found


class PhraseRanking:
    """Ranks phrases by how much more they fit some crops than others.

    Of a place of the picture it counts the crops that lie there, and of all else it takes the embedder's similarity.

    Args:
        phrases: The phrases.
        windows: What embeds crops; its embedder embeds the phrases too.
    """

    def __init__(self, phrases: Sequence[str], windows: WindowEmbedder) -> None:
        self.phrases, self._windows = list(phrases), windows
        self._words = [_words(phrase) for phrase in phrases]
        self._vectors = windows.embedder.embed_texts(self.phrases)
        self._places = [(i, REGIONS.index(phrase)) for i, phrase in enumerate(phrases) if phrase in REGIONS]

    def best(self, name: str, own: Sequence[CropEvidence], others: Sequence[CropEvidence], most: int) -> list[str]:
        """Return at most so many phrases that fit crops better than others, and that the name does not say."""
        if not own or not others:
            return []
        fits = self._fits([*own, *others])
        contrast = (fits[: len(own)].mean(0) - fits[len(own) :].mean(0)) / (fits.std(0) + 1e-6)
        said = _words(name)
        better = [i for i in np.argsort(-contrast, kind="stable").tolist() if contrast[i] > 0]
        return [self.phrases[i] for i in better if self._words[i] - said][:most]

    def _fits(self, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return how well each phrase fits each crop, float64 [crops, phrases]."""
        fits = np.asarray(self._windows(crops) @ self._vectors.T, np.float64)
        there = in_regions(places(crops))
        for phrase, region in self._places:
            fits[:, phrase] = there[:, region]
        return fits


@dataclass
class _Case:
    """A feature that is told apart: cells of it and of each namesake, and the phrases that are left to ask about."""

    group: NamedAlike
    own: list[CropEvidence]
    others: list[list[CropEvidence]]
    left: list[str]


class JudgedTeller:
    """Tells features from their namesakes by a judge's answers; see `DifferenceTeller` for one that asks for a reply.

    Args:
        judge: Answers whether a phrase holds at a marked cell.
        ranking: What may be said, and which of it is asked about.
        options: How many questions are asked.
    """

    def __init__(self, judge: Judge, ranking: PhraseRanking, options: JudgedOptions = JudgedOptions()) -> None:
        self.judge, self.ranking, self.options = judge, ranking, options
        self.cells, self.stopped = max(options.closely), ""
        self._known: dict[_Key, bool | None] = {}

    def tell(self, groups: Iterable[NamedAlike]) -> Iterator[Difference]:
        """Answer for each feature. A reached budget ends the work; `stopped` then says why.

        Raises:
            AutointerpError: Every request would fail.
        """
        self.stopped, todo = "", iter(groups)
        pool = ThreadPoolExecutor(max(1, self.judge.jobs), thread_name_prefix="apart")
        try:
            while some := list(islice(todo, _AT_ONCE)):
                yield from self._tell(some, pool)
        except BudgetReached as error:
            self.stopped = str(error)
        except KeyboardInterrupt:
            if self.judge.asker is not None:
                self.judge.asker.give_up()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _tell(self, groups: Sequence[NamedAlike], pool: ThreadPoolExecutor) -> list[Difference]:
        """Ask round by round; each leaves fewer phrases to ask about."""
        cases = [self._case(group) for group in groups]
        for own, other in self.options.rounds:
            self._ask(cases, own, other, pool)
            for case in cases:
                case.left = [
                    phrase for phrase in case.left if self._share(phrase, case.own[:own]) >= self.options.holds
                ]
        for case in cases:
            case.left = self._told(case, *self.options.rounds[-1])[: self.options.checked]
        self._ask(cases, *self.options.closely, pool)
        return [self._difference(case) for case in cases]

    def _case(self, group: NamedAlike) -> _Case:
        most, of_others = self.options.closely
        own, others = _cells(group.feature, most), [_cells(other, of_others) for other in group.others]
        ranked = self.ranking.best(group.name, own, list(chain(*others)), self.options.ranked)
        said = _words(group.name)
        where = [phrase for phrase in self.options.where if _words(phrase) - said]
        return _Case(group, own, others, list(dict.fromkeys([*ranked, *where])))

    def _apart(self, case: _Case, phrase: str, own: int, other: int) -> tuple[tuple[int, ...], float]:
        """Return the places of the namesakes from which a phrase tells the feature, and its mean gap to all of them."""
        here = self._share(phrase, case.own[:own])
        gaps = np.array([here - self._share(phrase, crops[:other]) for crops in case.others])
        apart = (here >= self.options.holds) & (gaps >= self.options.clear)
        return tuple(np.flatnonzero(apart).tolist()), float(np.nan_to_num(gaps).mean())

    def _told(self, case: _Case, own: int, other: int) -> list[str]:
        """Return the phrases that tell the feature from any namesake, those that tell it from most first."""
        found = {phrase: self._apart(case, phrase, own, other) for phrase in case.left}
        told = [phrase for phrase, (apart, _) in found.items() if apart]
        return sorted(told, key=lambda phrase: (-len(found[phrase][0]), -found[phrase][1], len(phrase)))

    def _difference(self, case: _Case) -> Difference:
        """Say what tells the feature from most of its namesakes, and a name that says it too."""
        told = self._told(case, *self.options.closely)
        # Of a namesake without pictures nothing is known.
        every, feature_id = [place for place, crops in enumerate(case.others) if crops], case.group.feature.feature_id
        if not told:
            return Difference(feature_id, "same", same_as=tuple(every))
        apart = {phrase: self._apart(case, phrase, *self.options.closely)[0] for phrase in told}
        best, known = told[0], _words(case.group.name)
        same = tuple(place for place in every if place not in apart[best])
        narrower = [phrase for phrase in told if apart[phrase] == apart[best] and known <= _words(phrase)]
        return Difference(feature_id, "told", best, narrower[0] if narrower else "", apart[best], same)

    def _ask(self, cases: Sequence[_Case], own: int, other: int, pool: ThreadPoolExecutor) -> None:
        """Ask what is not known yet; features and their namesakes share cells."""
        new: dict[str, dict[_Key, CropEvidence]] = {}
        for case in cases:
            asked = [*case.own[:own], *chain.from_iterable(crops[:other] for crops in case.others)]
            for phrase, crop in product(case.left, asked):
                if _key(phrase, crop) not in self._known:
                    new.setdefault(phrase, {})[_key(phrase, crop)] = crop
        trials = [[Trial(phrase, "", crop, True, "active") for crop in crops.values()] for phrase, crops in new.items()]
        for crops, verdicts in zip(new.values(), pool.map(self.judge.judge, trials), strict=True):
            self._known |= {key: verdict.holds for key, verdict in zip(crops, verdicts, strict=True)}

    def _share(self, phrase: str, crops: Sequence[CropEvidence]) -> float:
        """Return the share of the crops in which a phrase holds, of those that have an answer; NaN where none has."""
        answers = [self._known[_key(phrase, crop)] for crop in crops]
        read = [answer for answer in answers if answer is not None]
        return sum(read) / len(read) if read else math.nan


def _key(phrase: str, crop: CropEvidence) -> _Key:
    return phrase, crop.image_id, crop.cell


def _words(text: str) -> frozenset[str]:
    return frozenset(chain(*words_of(text)))


def _cells(feature: FeatureEvidence, most: int) -> list[CropEvidence]:
    return list((feature.cells or feature.crops)[:most])
