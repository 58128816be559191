"""The figures of `evaluate`, as values: what was measured, and the labels and scores held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from autointerp.shapes.names_apart import ApartFigures
from autointerp.shapes.verdict import Evaluated
from autointerp.stages.score.figures import ScoreFigures

TRUTH_KEYS = (
    "grounded",
    "specific",
    "label_accuracy",
    "label_accuracy_specific",
    "exact",
    "exact_specific",
    "macro_exact",
    "gain_share",
    "gain_share_specific",
    "macro_gain_share",
    "verdicts",
    "unreadable",
    "lenient",
    "lenient_specific",
    "truthless_named",
    "distinct_names",
    "told_apart",
    "apart",
    "score_precision_r",
    "active_above",
    "repeats",
    "intervals",
    "kinds",
    "controls",
    "features_truths",
)
"""The keys that are null where the truth is not known."""
RECONSTRUCTION_KEYS = ("fvu", "fvu_normalized", "explained_variance", "r2_mean", "l0", "dead_share", "dense_share")
"""The figures of `metrics.Reconstruction`."""
KEPT_KEYS = (*RECONSTRUCTION_KEYS, "loss_recovered")
"""The figures that are kept with the dictionary, for `status`."""


@dataclass(frozen=True)
class SpliceFigures:
    """What it does to the model to have a dictionary rebuild its layer; None where it cannot be measured.

    Attributes:
        loss_recovered: 1 where the denoising error stays what it was, 0 where it rises as much as by zero-ablation.
        denoising_error: The mean error `unchanged`, `spliced` and `zeroed`.
        image_change: Mean cosine distance from the unchanged picture's vector, `spliced` and `zeroed`.
    """

    loss_recovered: float | None = None
    denoising_error: dict[str, float] | None = None
    image_change: dict[str, float | None] | None = None


@dataclass(frozen=True)
class TruthFigures:
    """A dictionary's features against the truth, beside what names get that were given without looking.

    Attributes:
        grounded: Share of features with any truth.
        specific: Share of features with a specific truth.
        active_above: The share of its maximum above which a feature counts as active.
        kinds: How many features have a truth of each kind.
        repeats: How often truths of one half of the images are those of the other half, see `HalfTruths.repeats`.
        intervals: 95% intervals of the shares of features.
        constant: Figures of the best constant name, see `label_controls.constant_labels`.
        majority: Figures of the commonest truth as every feature's name.
        features: The truth of each feature, in the form in which it is stored.
    """

    grounded: float
    specific: float
    active_above: float
    kinds: dict[str, int]
    repeats: dict[str, float | None]
    intervals: Mapping[str, Sequence[float]]
    constant: dict[str, Any]
    majority: dict[str, Any]
    features: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by their stored names; those of labels are null, as they are not measured."""
        return {
            **dict.fromkeys(TRUTH_KEYS),
            "grounded": self.grounded,
            "specific": self.specific,
            "active_above": self.active_above,
            "repeats": self.repeats,
            "intervals": {key: list(ends) for key, ends in self.intervals.items()},
            "kinds": self.kinds,
            "controls": {"constant": self.constant, "majority": self.majority},
            "features_truths": self.features,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> TruthFigures | None:
        """Return the figures that `as_dict` gave; None where the truth was not known."""
        if stored["features_truths"] is None:
            return None
        names = ("grounded", "specific", "active_above", "kinds", "repeats", "intervals")
        return cls(
            **{name: stored[name] for name in names},
            constant=stored["controls"]["constant"],
            majority=stored["controls"]["majority"],
            features=stored["features_truths"],
        )


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one dictionary on the held-out images, as it is stored with its run.

    Attributes:
        layer: Name of the layer.
        dictionary: Name of the dictionary.
        kind: Kind of the dictionary.
        features: How many features it has.
        live: How many of them are live.
        dead: How many of them are dead.
        images: How many images were held out.
        unseen_prompts: Share of them whose prompt no harvested image has.
        truth: Features against the truth; None where the truth is not known.
        reconstruction: How well it rebuilds the layer, see `metrics.Reconstruction`.
        splice: What it does in the layer's place.
        fit_seconds: How long its fit took; None for an import.
    """

    layer: str
    dictionary: str
    kind: str
    features: int
    live: int
    dead: int
    images: int
    unseen_prompts: float
    truth: TruthFigures | None
    reconstruction: dict[str, float]
    splice: SpliceFigures
    fit_seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by their stored names, rounded."""
        result = {
            "layer": self.layer,
            "dictionary": self.dictionary,
            "kind": self.kind,
            "features": self.features,
            "live": self.live,
            "dead": self.dead,
            "images": self.images,
            "unseen_prompts": self.unseen_prompts,
            **(dict.fromkeys(TRUTH_KEYS) if self.truth is None else self.truth.as_dict()),
            **self.reconstruction,
            **asdict(self.splice),
            "fit_seconds": self.fit_seconds,
        }
        # Figures of labels are made from the truths of features, so these are not rounded.
        return {key: value if key == "features_truths" else rounded(value) for key, value in result.items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation that `as_dict` gave, with figures as they were rounded."""
        names = ("layer", "dictionary", "kind", "features", "live", "dead", "images", "unseen_prompts", "fit_seconds")
        spliced = ("loss_recovered", "denoising_error", "image_change")
        return cls(
            **{name: stored[name] for name in names},
            truth=TruthFigures.from_dict(stored),
            reconstruction={name: stored[name] for name in RECONSTRUCTION_KEYS},
            splice=SpliceFigures(**{name: stored[name] for name in spliced}),
        )

    @property
    def kept(self) -> dict[str, Any]:
        """The figures that are kept with the dictionary, without those that could not be measured."""
        stored = self.as_dict()
        return {key: stored[key] for key in KEPT_KEYS if stored[key] is not None}

    @property
    def features_truths(self) -> Evaluated | None:
        """The truth of each feature; None where the truth is not known."""
        return None if self.truth is None else Evaluated.from_dict(self.truth.features)


@dataclass(frozen=True)
class LabelFigures:
    """Labels against the features' truths: shares of right names, the same of shuffled labels, and the scores' worth.

    Attributes:
        accuracy: Shares of features whose label names their truth, by the figure's name.
        shuffled: The same of the labels on other features.
        truthless_named: Share of the features without a truth that have a name; None where all have a truth.
        intervals: 95% intervals of the shares of right names; None where there are too few concepts.
        verdicts: How many features with a truth have a label of each verdict; without a label it is wrong.
        unreadable: The names that cannot be read, each with the reason.
        score_precision_r: Correlation of a label's score with the precision of what it says.
        apart: Whether names tell features apart.
    """

    accuracy: dict[str, float | None]
    shuffled: dict[str, float | None]
    truthless_named: float | None
    intervals: Mapping[str, Sequence[float] | None]
    verdicts: dict[str, int]
    unreadable: dict[str, str]
    score_precision_r: float | None
    apart: ApartFigures


@dataclass(frozen=True)
class EvaluationReport:
    """An evaluation with the labels and scores as they are now.

    Attributes:
        evaluation: What was measured.
        labeled: How many features have a label.
        labels: Labels against the truth; None where the truth is not known.
        scores: The figures of each method and judge.
        directions: Figures of each control of directions, by its name.
        fine: Figures of the finer list of concepts; None where they were not asked for.
    """

    evaluation: Evaluation
    labeled: int
    labels: LabelFigures | None
    scores: tuple[ScoreFigures, ...]
    directions: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    fine: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by the names of `evaluate --json`, rounded."""
        found = {**self.evaluation.as_dict(), "labeled": self.labeled}
        del found["features_truths"]
        if self.labels is not None:
            found |= self.labels.accuracy
            apart = self.labels.apart
            pairs = {**self.labels.intervals, **apart.intervals}
            ends = {key: None if pair is None else list(pair) for key, pair in pairs.items()}
            found["intervals"] = {**found["intervals"], **ends}
            found |= {"score_precision_r": self.labels.score_precision_r}
            found |= {"truthless_named": self.labels.truthless_named}
            found |= {"distinct_names": apart.distinct_names, "told_apart": apart.told_apart}
            found["apart"] = apart.as_dict()
            found |= {"verdicts": self.labels.verdicts, "unreadable": self.labels.unreadable}
            shuffled = {**self.labels.shuffled, "told_apart": apart.shuffled}
            found["controls"] = {**self.directions, **found["controls"], "shuffled": shuffled}
        found["fine"] = self.fine
        found = {key: rounded(value) for key, value in found.items()}
        return {**found, "scores": [rounded(figures.as_dict()) for figures in self.scores]}


def rounded(value: Any) -> Any:
    """Round to four decimals, or four digits where the value is small; inside dictionaries too."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if not isinstance(value, float):
        return value
    return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.4g}")
