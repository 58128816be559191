"""The labeler `clip`: names a feature by the phrase that its crops share and the layer's other crops do not.

Candidates are the phrases that the layer's prompts contain and a shipped vocabulary; an image-text embedder says how
well each fits each crop. A candidate is worth what it tells about where the feature fires: if it holds for a share
`precision` of the feature's crops and for a share `base` of the usual ones, the gain is the mean log-likelihood ratio
of "the feature fires where this holds" against "it fires anywhere". So `red` wins over `red circle` for a feature that
fires on red things of all shapes (few of its crops hold a red circle), and loses where all of them do.

Whether a phrase holds for a crop is read from a similarity threshold. How often a phrase of the prompts holds in usual
crops is known from the prompts, and sets its threshold; a phrase that no prompt says has several thresholds tried, and
pays for that freedom.

Where in the picture a feature fires needs no embedder: regions are candidates on the same scale, alone and
combined with a phrase.

A feature is what all the cells are in which it is active, and not only the strongest cell of each picture: an object's
strongest cell may be its edge throughout. So every crop is looked at in several cells of its activation map.

For some phrases a reader (`labeling/cells.py`) says how probable they are at a cell, and takes the place of similarity.
A probability says besides how often it errs: the share of the cells that are called `edge` is corrected for the
edges that are missed and for what is taken for one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from autointerp.errors import AutointerpError
from autointerp.labeling.cells import CellReader
from autointerp.labeling.grounding import PhraseBank
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LabelResult, LayerContext
from autointerp.labeling.windows import REGIONS, Cutter, WindowEmbedder, cut_window, in_regions, places
from autointerp.search.protocol import Embedder

_CHUNK = 32
_MIN_BASE = 1 / 300


@dataclass(frozen=True)
class ClipOptions:
    """How the labeler `clip` looks and weighs."""

    windows: tuple[float, ...] = (3.0, 6.0)
    """Sides of the windows around a cell, in cells."""
    max_crops: int = 40
    """A feature's crops that are looked at, strongest first."""
    max_background: int = 1200
    """Crops of the layer to contrast with."""
    anywhere: int = 3
    """Random cells of each crop's picture to contrast with besides: what fires is no fair sample of what is there."""
    min_count: int = 3
    """Phrases in fewer prompts of the layer are no candidates."""
    max_words: int = 3
    """Words of the longest phrase taken from a prompt."""
    max_phrases: int = 3000
    """The most frequent phrases of the prompts that are candidates."""
    text_weight: float = 1.0
    """What it counts that a crop's prompt says the phrase, in standard deviations of similarity."""
    slack: tuple[float, ...] = (1.0, 1.6)
    """Thresholds of a phrase of the prompts let through these multiples of its base rate."""
    free_bases: tuple[float, ...] = (0.05, 0.1, 0.18, 0.25, 0.35, 0.45)
    """Base rates tried for a phrase that no prompt says."""
    free_penalty: float = 0.6
    """What such a phrase pays, in nats, unless it is familiar: of hundreds, some fit a few alike crops by chance."""
    word_penalty: float = 0.05
    """What each word beyond the first pays, in nats: the narrower phrase must win by a margin."""
    floor: float = 0.3
    """Crops and cells below this share of the feature's strongest are not looked at: there, much fires by the way."""
    spots: int = 4
    """Cells looked at in each crop's picture, of those above that share: its strongest, and others evenly below it.
    Each costs a window of every size."""
    least_precision: float = 0.8
    """What holds for fewer of the crops is hardly a label, however rare it is elsewhere."""
    imprecision_penalty: float = 8.0
    """What each unit of precision below that pays, in nats."""
    min_gain: float = 0.3
    """Below this gain, in nats a crop, a feature is not named."""
    seed: int = 0


def gain(precision: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Mean log-likelihood ratio a crop, in nats, of "fires where it holds" against "fires anywhere".

    The precision assumed of a true label is the measured one, but at least 0.8: what holds for half of the crops is
    not a label, however rare it is elsewhere. The shapes of `precision` and `base` broadcast.
    """
    assumed = np.clip(precision, 0.8, 0.97)
    base = np.clip(base, _MIN_BASE, 0.97)
    return precision * np.log(assumed / base) + (1 - precision) * np.log((1 - assumed) / (1 - base))


@dataclass(frozen=True)
class _Candidate:
    name: str
    gain: float
    precision: float
    base: float
    phrase: int | None = None


class ClipLabeler:
    """Names features by phrases in the space of an image-text embedder."""

    kind = "clip"
    base_url = ""

    def __init__(
        self,
        embedder: Embedder,
        vocabulary: Sequence[str],
        options: ClipOptions | None = None,
        cut: Cutter = cut_window,
        windows: WindowEmbedder | None = None,
        contrasts: Sequence[Sequence[str]] = (),
        familiar: Sequence[str] = (),
        readers: Sequence[CellReader] = (),
    ) -> None:
        """Take the embedder, phrases beyond those of the prompts, and how to cut a window from a crop.

        `contrasts` lists sets of phrases of which one excludes the others; each is read against its alternatives.
        `familiar` phrases belong to the model's world: they need no penalty for being one of very many.

        `readers` say what they know of in the embedder's place.

        `windows` may be one that has embedded these crops before; it then brings its own sizes and cutter.
        """
        self.options = options or ClipOptions()
        self.model = embedder.name
        self._familiar = frozenset(familiar)
        self._readers = tuple(readers)
        vocabulary = list(dict.fromkeys([*vocabulary, *(p for reader in readers for p in reader.phrases)]))
        told = [*vocabulary, *familiar, *(" | ".join(p) for p in contrasts), *(reader.name for reader in readers)]
        self.prompt_hash = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
        self.config: dict[str, Any] = asdict(self.options)
        self._bank = PhraseBank(embedder, vocabulary, self.options.text_weight, contrasts)
        self._embed = windows or WindowEmbedder(embedder, self.options.windows, cut)
        self._ready = False

    def prepare(self, context: LayerContext) -> None:
        """Embed the candidates and the background once, and set each candidate's thresholds.

        Raises:
            AutointerpError: the context holds no crops.
        """
        if not context.crops:
            raise AutointerpError("the layer has no crops to contrast with", "run `autointerp harvest` first")
        options = self.options
        background = self._background(context.crops)
        self._bank.collect(context.prompts, options.min_count, options.max_words, options.max_phrases)
        vectors = self._embed(background)
        self._bank.calibrate(vectors, background)
        scores, said = self._bank.background_scores(vectors, background)
        candidates = {phrase: i for i, phrase in enumerate(self._bank.phrases)}
        # Words of place are no candidates, whoever reads them.
        self._heard = [[i for i, p in enumerate(reader.phrases) if p in candidates] for reader in self._readers]
        self._columns = [
            np.array([candidates[reader.phrases[i]] for i in heard], np.int64)
            for reader, heard in zip(self._readers, self._heard, strict=True)
        ]
        self._read_into(scores, background)
        base = said.mean(0)
        n, phrases = scores.shape
        known = self._bank.said_at_all & (base > 0)
        levels = max(len(options.slack), len(options.free_bases))
        bases = np.ones((levels, phrases))
        for level in range(levels):
            slack = options.slack[min(level, len(options.slack) - 1)]
            free = options.free_bases[min(level, len(options.free_bases) - 1)]
            bases[level] = np.where(known, np.clip(base * slack, _MIN_BASE, 0.7), free)
        ordered = np.sort(scores, axis=0)
        rank = np.clip(np.ceil((1 - bases) * n).astype(int), 0, n - 1)
        self._scores, self._ordered = scores, ordered
        self._thresholds = np.take_along_axis(ordered, rank, 0)
        # What a threshold really lets through is more than asked for where many scores are equal.
        self._bases = np.stack([np.mean(scores >= threshold, axis=0) for threshold in self._thresholds])
        self._true_rate, self._false_rate = np.ones(phrases), np.zeros(phrases)
        for columns in self._columns:
            self._trust(columns)
        words = np.array([len(p.split()) for p in self._bank.phrases])
        strange = ~known & ~np.array([p in self._familiar for p in self._bank.phrases], bool)
        for columns in self._columns:
            strange[columns] = False
        self._penalty = options.word_penalty * (words - 1) + np.where(strange, options.free_penalty, 0.0)
        self._regions = in_regions(places(background))
        self._ready = True

    def _read_into(self, scores: np.ndarray, crops: Sequence[CropEvidence]) -> None:
        """Put what the readers say into the columns of `scores` [crops, phrases] that are theirs."""
        for reader, heard, columns in zip(self._readers, self._heard, self._columns, strict=True):
            scores[:, columns] = reader.read(self._embed, crops)[:, heard]

    def _trust(self, columns: np.ndarray) -> None:
        """Threshold, base rate and errors of phrases whose scores are probabilities, from the background's alone.

        Of cells called so at a half, the mean probability is the share that truly are; and so for the missed ones.
        """
        probable = self._scores[:, columns]
        holds = probable >= 0.5
        self._thresholds[:, columns] = 0.5
        self._bases[:, columns] = probable.mean(0)
        self._true_rate[columns] = (probable * holds).sum(0) / np.maximum(probable.sum(0), 1e-6)
        self._false_rate[columns] = ((1 - probable) * holds).sum(0) / np.maximum((1 - probable).sum(0), 1e-6)

    def _background(self, crops: Sequence[CropEvidence]) -> list[CropEvidence]:
        """A sample of the layer's crops, and for each a random cell of its picture: what fires, and what is there."""
        rng = np.random.default_rng(self.options.seed)
        fired = [c for c in crops if c.cell is not None]
        if len(fired) > self.options.max_background:
            fired = [fired[i] for i in np.sort(rng.permutation(len(fired))[: self.options.max_background])]
        anywhere = []
        for crop in (c for c in fired for _ in range(self.options.anywhere)):
            cell = (int(rng.integers(crop.grid[0])), int(rng.integers(crop.grid[1])))
            anywhere.append(replace(crop, cell=cell, activation=0.0, activation_map=None))
        return fired + anywhere

    def label(self, features: Sequence[FeatureEvidence]) -> Iterator[LabelResult]:
        """Answer for each feature, in order.

        Raises:
            AutointerpError: `prepare` was not called.
        """
        if not self._ready:
            raise AutointerpError("the labeler has not seen the layer", "call prepare(context) before label()")
        for start in range(0, len(features), _CHUNK):
            chunk = features[start : start + _CHUNK]
            self._embed([c for f in chunk for c in self._shown(f)])
            for feature in chunk:
                yield self._label(feature)

    def _shown(self, feature: FeatureEvidence) -> list[CropEvidence]:
        fired = [c for c in feature.crops if c.cell is not None and c.activation > 0]
        strongest = max((c.activation for c in fired), default=0.0)
        least = self.options.floor * strongest
        crops = [c for c in fired if c.activation >= least][: self.options.max_crops]
        return [spot for crop in crops for spot in self._spots(crop, least)]

    def _spots(self, crop: CropEvidence, least: float) -> list[CropEvidence]:
        """The crop at each of the cells that are looked at, its own first."""
        if crop.activation_map is None or self.options.spots < 2:
            return [crop]
        heat = np.where(crop.activation_map >= least, crop.activation_map, 0.0).astype(np.float64)
        heat[crop.cell] = 0.0
        order = np.argsort(-heat, axis=None, kind="stable")[: int(np.count_nonzero(heat))]
        if len(order) >= self.options.spots:
            order = order[np.linspace(0, len(order) - 1, self.options.spots - 1).round().astype(int)]
        cells = [divmod(int(i), heat.shape[1]) for i in order]
        return [crop, *(replace(crop, cell=cell, activation=float(heat[cell])) for cell in cells)]

    def _label(self, feature: FeatureEvidence) -> LabelResult:
        crops = self._shown(feature)
        if not crops:
            return LabelResult(feature.feature_id, "uninterpretable", explanation="No crops to look at.")
        pictures = len({c.crop_id for c in crops})
        scores = self._bank.scores(self._embed(crops), crops)
        self._read_into(scores, crops)
        ranked = self._candidates(crops, scores)
        best, others = ranked[0], [c.name for c in ranked[1:]]
        other = f"; next: '{others[0]}'" if others else ""
        if best.gain < self.options.min_gain:
            text = f"No phrase holds for these {pictures} crops beyond the layer's others (nearest: '{best.name}')."
            return LabelResult(feature.feature_id, "uninterpretable", explanation=text)
        if best.phrase is None:
            how = f"by place alone, over {pictures} crops"
        else:
            own = scores[:, best.phrase]
            place = np.searchsorted(self._ordered[:, best.phrase], own) / len(self._ordered)
            how = f"mean similarity percentile {place.mean():.2f} over {pictures} crops"
        text = f"Fires on {best.name}: holds for {best.precision:.0%} against {best.base:.1%} usually ({how}{other})."
        confidence = best.precision * (1 - np.exp(-max(best.gain, 0.0)))
        return LabelResult(feature.feature_id, "ok", best.name, text, round(float(np.clip(confidence, 0, 1)), 4))

    def _gain(self, precision: np.ndarray, base: np.ndarray) -> np.ndarray:
        """`gain`, less what a precision too low for a label pays."""
        short = np.maximum(self.options.least_precision - precision, 0.0)
        return gain(precision, base) - self.options.imprecision_penalty * short

    def _corrected(self, share: np.ndarray) -> np.ndarray:
        """From the share of cells for which each phrase seems to hold [..., phrases], the share for which it does."""
        told_apart = np.maximum(self._true_rate - self._false_rate, 1e-3)
        return np.clip((share - self._false_rate) / told_apart, 0, 1)

    def _candidates(self, crops: Sequence[CropEvidence], scores: np.ndarray) -> list[_Candidate]:
        """The best candidates, best first, from the crops' scores of every phrase [crops, phrases]."""
        options = self.options
        # All alike: the strongest crops are the most alike, and weight on them makes a name too narrow.
        weights = np.full(len(crops), 1 / len(crops))
        # Cells of one picture are alike, so that many say no more than one does of how sure a share is.
        effective = float(len({c.crop_id for c in crops}))

        def smooth(share: np.ndarray, base: np.ndarray) -> np.ndarray:
            return (share * effective + base) / (effective + 1)

        share = np.stack([weights @ (scores >= threshold) for threshold in self._thresholds])
        share = self._corrected(share)
        precision = smooth(share, self._bases)
        worth = self._gain(precision, self._bases) - self._penalty
        level = worth.argmax(0)
        top = np.argsort(-worth.max(0), kind="stable")[:6]
        found = [
            _Candidate(
                self._bank.phrases[p],
                float(worth[level[p], p]),
                float(precision[level[p], p]),
                float(self._bases[level[p], p]),
                int(p),
            )
            for p in top
        ]
        inside = in_regions(places(crops))
        region_base = (self._regions.sum(0) + 1) / (len(self._regions) + 2)
        region_share = smooth(weights @ inside, region_base)
        for r, value in enumerate(self._gain(region_share, region_base)):
            found.append(_Candidate(REGIONS[r], float(value), float(region_share[r]), float(region_base[r])))
        likely = np.argsort(-region_share, kind="stable")[:4]
        for candidate in found[: len(top)]:
            phrase = candidate.phrase
            threshold = self._thresholds[level[phrase], phrase]
            holds, usual = scores[:, phrase] >= threshold, self._scores[:, phrase] >= threshold
            for r in likely:
                base = (np.sum(usual & self._regions[:, r]) + 1) / (len(usual) + 2)
                both = smooth(weights @ (holds & inside[:, r]), base)
                cost = self._penalty[phrase] + 2 * options.word_penalty
                value = float(self._gain(both, base) - cost)
                name = f"{candidate.name}, {REGIONS[r]}"
                found.append(_Candidate(name, value, float(both), float(base), phrase))
        return sorted(found, key=lambda c: (-c.gain, c.name))
