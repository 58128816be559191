"""The labeler `clip`: names a feature by the phrase that its crops share and the layer's other crops do not.

Candidates are the phrases of the layer's prompts and of a shipped vocabulary. An image-text embedder says how well each
fits each crop, and `CandidateRanking` weighs them.

A feature fires in many cells of a picture, and an object's strongest cell may always be its edge. So each crop is
looked at in several cells of its activation map, and not in the strongest alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.errors import AutointerpError
from autointerp.labeling.evidence.cells import CellReader, PartReader
from autointerp.labeling.evidence.grounding import PhraseBank
from autointerp.labeling.evidence.vocabulary import candidate_phrases
from autointerp.labeling.evidence.windows import WindowEmbedder
from autointerp.labeling.labelers.clip_options import ClipOptions
from autointerp.labeling.labelers.clip_ranking import CandidateRanking
from autointerp.labeling.labelers.without_vlm import WithoutVlm
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LabelResult, LayerContext
from autointerp.search.protocol import Embedder

if TYPE_CHECKING:
    from autointerp.labeling.setup import LabelerSetup

_CHUNK = 32
"""Features whose windows are embedded together."""


class ClipLabeler(WithoutVlm):
    """Names features by phrases in the space of an image-text embedder."""

    kind = "clip"

    def __init__(
        self,
        embedder: Embedder,
        vocabulary: Sequence[str],
        options: ClipOptions | None = None,
        windows: WindowEmbedder | None = None,
        contrasts: Sequence[Sequence[str]] = (),
        familiar: Sequence[str] = (),
        readers: Sequence[CellReader] = (),
    ) -> None:
        """Keep what the labeler looks with.

        Args:
            embedder: Maps phrases and windows of crops into one space.
            vocabulary: Candidate phrases beyond those of the prompts.
            options: How the labeler looks and weighs.
            windows: Vectors of crops, some of which may be there already. It brings its own window sizes.
            contrasts: Groups of phrases of which one excludes the others; each is read against its alternatives.
            familiar: Phrases of the model's world. They are spared the penalty of a phrase that is one of very many.
            readers: Readers of cells, which take the place of the embedder for the phrases that they know.
        """
        self.options = options or ClipOptions()
        self.model = embedder.name
        vocabulary = list(dict.fromkeys([*vocabulary, *(p for reader in readers for p in reader.phrases)]))
        told = [*vocabulary, *familiar, *(" | ".join(p) for p in contrasts), *(reader.name for reader in readers)]
        self.prompt_hash = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
        self.config: dict[str, Any] = asdict(self.options)
        self._bank = PhraseBank(embedder, vocabulary, self.options.text_weight, contrasts)
        self._windows = windows or WindowEmbedder(embedder, self.options.windows)
        self.ranking = CandidateRanking(self._bank, self._windows, self.options, familiar, readers)
        self._ready = False

    @classmethod
    def make_labeler(cls, setup: LabelerSetup) -> ClipLabeler:
        """See `LabelerKind`. In a model's own world its words are familiar, and its reader of cells is used."""
        world, words = setup.world, setup.world.vocabulary()
        phrases = candidate_phrases(words)
        if world.is_open:
            return cls(setup.embedder, phrases, windows=setup.windows)
        # A reader is fitted for the embedder that it ships with; another embedder does without.
        fitted = world.cell_reader if setup.embedder_name == world.embedder else None
        return cls(
            setup.embedder,
            phrases,
            # The embedder of an embedded world is small, so many cells cost little.
            ClipOptions(spots=16),
            setup.windows,
            contrasts=words.contrasts,
            familiar=words.phrases,
            readers=[] if fitted is None else [PartReader.load(fitted, setup.embedder)],
        )

    def prepare(self, context: LayerContext) -> None:
        """Collect the layer's phrases, and calibrate them on its usual crops.

        Raises:
            AutointerpError: The context holds no crops.
        """
        if not context.crops:
            raise AutointerpError("the layer has no crops to contrast with", "run `autointerp harvest` first")
        options = self.options
        background = self._background(context.crops)
        self._bank.collect(context.prompts, options.min_count, options.max_words, options.max_phrases)
        self.ranking.calibrate(background)
        self._ready = True

    def _background(self, crops: Sequence[CropEvidence]) -> list[CropEvidence]:
        """Return a sample of the layer's crops, followed by random cells of their pictures."""
        rng = np.random.default_rng(self.options.seed)
        fired = [c for c in crops if c.cell is not None]
        if len(fired) > self.options.max_background:
            fired = [fired[i] for i in np.sort(rng.permutation(len(fired))[: self.options.max_background])]
        anywhere = []
        for crop in (c for c in fired for _ in range(self.options.anywhere)):
            cell = (int(rng.integers(crop.grid[0])), int(rng.integers(crop.grid[1])))
            anywhere.append(replace(crop, cell=cell, activation=0.0, activation_map=None))
        return fired + anywhere

    def label(self, features: Iterable[FeatureEvidence]) -> Iterator[LabelResult]:
        """Yield a result for each feature, in order.

        Raises:
            AutointerpError: `prepare` was not called.
        """
        if not self._ready:
            raise AutointerpError("the labeler has not seen the layer", "call prepare(context) before label()")
        todo = iter(features)
        while chunk := list(islice(todo, _CHUNK)):
            self._windows([c for f in chunk for c in self._shown(f)])
            for feature in chunk:
                yield self._label(feature)

    def _shown(self, feature: FeatureEvidence) -> list[CropEvidence]:
        """Return the feature's strongest crops, each at all of its cells that are looked at."""
        fired = [c for c in feature.crops if c.cell is not None and c.activation > 0]
        strongest = max((c.activation for c in fired), default=0.0)
        least = self.options.floor * strongest
        crops = [c for c in fired if c.activation >= least][: self.options.max_crops]
        return [spot for crop in crops for spot in spots(crop, least, self.options.spots)]

    def _label(self, feature: FeatureEvidence) -> LabelResult:
        """Name one feature by its best candidate."""
        crops = self._shown(feature)
        if not crops:
            return LabelResult(feature.feature_id, "uninterpretable", explanation="No crops to look at.")
        pictures = len({c.crop_id for c in crops})
        scores = self.ranking.scores(crops)
        best, *others = self.ranking.rank(crops, scores)
        other = f"; next: '{others[0].name}'" if others else ""
        if best.gain < self.options.min_gain:
            text = f"No phrase holds for these {pictures} crops beyond the layer's others (nearest: '{best.name}')."
            return LabelResult(feature.feature_id, "uninterpretable", explanation=text)
        if best.phrase is None:
            how = f"by place alone, over {pictures} crops"
        else:
            how = f"mean similarity percentile {self.ranking.percentile(best.phrase, scores):.2f} over {pictures} crops"
        text = f"Fires on {best.name}: holds for {best.precision:.0%} against {best.base:.1%} usually ({how}{other})."
        confidence = best.precision * (1 - np.exp(-max(best.gain, 0.0)))
        return LabelResult(feature.feature_id, "ok", best.name, text, round(float(np.clip(confidence, 0, 1)), 4))


def spots(crop: CropEvidence, least: float, count: int) -> list[CropEvidence]:
    """Return the crop at each of the cells that are looked at, its own cell first.

    Args:
        crop: The crop.
        least: Activation that a cell must reach.
        count: Cells at most, at even ranks among those that reach it.
    """
    if crop.activation_map is None or count < 2:
        return [crop]
    heat = np.where(crop.activation_map >= least, crop.activation_map, 0.0).astype(np.float64)
    heat[crop.cell] = 0.0
    order = np.argsort(-heat, axis=None, kind="stable")[: int(np.count_nonzero(heat))]
    if len(order) >= count:
        order = order[np.linspace(0, len(order) - 1, count - 1).round().astype(int)]
    cells = [divmod(int(i), heat.shape[1]) for i in order]
    return [crop, *(replace(crop, cell=cell, activation=float(heat[cell])) for cell in cells)]
