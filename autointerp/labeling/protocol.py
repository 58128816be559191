"""The seams of labeling: labelers and judges, the evidence that they are shown, and their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from autointerp.texts import EXPLANATION, NAME, REASON, clean

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from autointerp.labeling.asking.protocol import Asker


@dataclass(frozen=True)
class CropEvidence:
    """A crop: where a feature fires in one image, or, for a negative, an image in which the feature is silent.

    Attributes:
        crop_id: The crop's id in the database; None for a random cell of the layer.
        image_id: The image's id in the database.
        prompt: The prompt of the image.
        picture: The whole stored picture.
        box: Left, top, right and bottom in pixels of the picture.
        grid: Rows and columns of the token grid.
        cell: Row and column; None for a negative.
        activation: Activation in that cell; 0 for a negative.
        activation_map: Raw activations, float32 [rows, cols]; None for a negative.
        role: Why the crop is kept; `active` or `random` for a cell that was drawn, of the feature or of the layer.
        active_above: The activation that active cells of the map exceed, a share of the feature's maximum.
        weight: How many active cells of the feature this one stands for, where it was drawn; else 1.
    """

    crop_id: int | None
    image_id: int
    prompt: str
    picture: Image.Image
    box: tuple[int, int, int, int]
    grid: tuple[int, int]
    cell: tuple[int, int] | None
    activation: float
    activation_map: np.ndarray | None
    role: Literal["top", "quantile", "negative", "active", "random"]
    active_above: float = 0.0
    weight: float = 1.0

    @property
    def active(self) -> np.ndarray | None:
        """Which cells of the map are active, bool [rows, cols]; None where there is no map."""
        return None if self.activation_map is None else self.activation_map > self.active_above


@dataclass(frozen=True)
class FeatureEvidence:
    """A feature as a labeler may see it: crops of the explain split alone, strongest first.

    Attributes:
        feature: The feature's name.
        feature_id: The feature's id in the database.
        density: The share of all cells in which the feature fires.
        crops: Crops of the feature, each marked where it is strongest.
        negatives: Images in which the feature is silent.
        cells: Pictures drawn by the number of cells in which the feature is active, each with its map and a mark at one
            of these cells. None where the harvest kept no sample, or the labeler looks at none.
    """

    feature: str
    feature_id: int
    density: float
    crops: tuple[CropEvidence, ...]
    negatives: tuple[CropEvidence, ...] = ()
    cells: tuple[CropEvidence, ...] = ()


@dataclass(frozen=True)
class LayerContext:
    """Usual crops and prompts of the layer, as a contrast to a single feature.

    Attributes:
        crops: A seeded sample of crops of the explain split, over all live features.
        prompts: The prompts of the layer's images of the explain split, one entry an image.
    """

    crops: tuple[CropEvidence, ...]
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class LabelResult:
    """A labeler's answer on one feature. A failure is recorded as a failure, never as a placeholder name.

    All texts are cleaned: one line each, of bounded length, without invisible characters.

    Attributes:
        feature_id: The feature's id in the database.
        status: `waiting` while the request is in a batch; such a result is never stored.
        name: What the feature is called.
        explanation: What it fires on, in a sentence.
        confidence: From 0 to 1.
        error: Why the labeler failed.
    """

    feature_id: int
    status: Literal["ok", "uninterpretable", "failed", "waiting"]
    name: str = ""
    explanation: str = ""
    confidence: float = 0.0
    error: str = ""

    def __post_init__(self) -> None:
        """Clean all texts."""
        for text, limit in (("name", NAME), ("explanation", EXPLANATION), ("error", REASON)):
            object.__setattr__(self, text, clean(getattr(self, text), limit))


class Labeler(Protocol):
    """Names features.

    `kind`, `model`, `base_url`, `prompt_hash` and `config` identify a labeler: labels of two labelers that agree in
    all of these are the same result.

    Attributes:
        cells: How many pictures of a feature's sample of active cells it looks at; 0 for none.
        streams: Whether `label` takes features one by one, as there is room for them, so that it may be given all.
        stopped: Why the last call of `label` ended before its last feature; empty where it did not.
    """

    kind: str
    model: str
    base_url: str
    prompt_hash: str
    config: dict[str, Any]
    cells: int
    streams: bool
    stopped: str

    @property
    def asker(self) -> Asker | None:
        """The VLM that is asked; None for a labeler that asks none."""
        ...

    def prepare(self, context: LayerContext) -> None:
        """Learn what is usual in the layer; called once before `label`."""
        ...

    def label(self, features: Iterable[FeatureEvidence]) -> Iterator[LabelResult]:
        """Yield a result for each feature in any order, each as soon as it is known."""
        ...


@dataclass(frozen=True)
class ScoreEvidence:
    """The crops and prompts of which a feature's trials are made. Only the parts that a score needs are filled.

    The first four are of the score split, which no labeler saw.

    Attributes:
        latent: The feature's latent.
        firing: Crops in which the feature fires.
        silent: Random images in which the feature is silent.
        hard: Images in which the feature is silent and a feature of like direction fires.
        foreign: Crops of other features in silent and hard images.
        seen: The strongest crops of the explain split.
        others: The strongest crop of the explain split of each of some other features.
        unrelated: Prompt and seed of images that the run does not have.
        active: Cells in which the feature is active, each as a crop that is marked there. Each active cell of the
            split is as probable as any other, see `draw_cells`.
        cells: Random cells of the layer, the same for all features.
        namesakes: Cells in which features of nearly the same name are active and this one is not, as far as is known;
            one of each such feature in turn.
        difference: What only this feature has of those, as its label says; empty where it says nothing.
    """

    latent: int
    firing: tuple[CropEvidence, ...] = ()
    silent: tuple[CropEvidence, ...] = ()
    hard: tuple[CropEvidence, ...] = ()
    foreign: tuple[CropEvidence, ...] = ()
    seen: tuple[CropEvidence, ...] = ()
    others: tuple[CropEvidence, ...] = ()
    unrelated: tuple[tuple[str, int], ...] = ()
    active: tuple[CropEvidence, ...] = ()
    cells: tuple[CropEvidence, ...] = ()
    namesakes: tuple[CropEvidence, ...] = ()
    difference: str = ""


@dataclass(frozen=True)
class Trial:
    """One question: does a label hold for a picture?

    The picture is a crop, or it is generated from a prompt and a seed.

    Attributes:
        name: The label's name.
        explanation: The label's explanation.
        crop: The crop, marked at its box; None for a generated picture.
        truth: The right answer.
        kind: Where the picture comes from, e.g. `firing` or `hard`.
        panel: Trials of one panel are shown together, and one of them does not belong; None for a trial by itself.
        prompt: Prompt of a generated picture.
        seed: Seed of a generated picture.
        latent: The feature's latent.
        difference: What tells the feature from those of nearly the same name, as the label says; the explanation has it
            too, in a sentence.
    """

    name: str
    explanation: str
    crop: CropEvidence | None
    truth: bool
    kind: str = ""
    panel: int | None = None
    prompt: str = ""
    seed: int = 0
    latent: int = -1
    difference: str = ""


@dataclass(frozen=True)
class Verdict:
    """An answer to a trial: a truth value, a number, or both; neither where it could not be read.

    An answer that could not be read is unscored, never wrong.

    Attributes:
        trial: The question.
        holds: Whether the label holds.
        error: Why there is no answer.
        value: A rating or a measured number.
        waits: Whether the request is in a batch; such a verdict is never stored.
    """

    trial: Trial
    holds: bool | None = None
    error: str = ""
    value: float | None = None
    waits: bool = False

    @property
    def scored(self) -> bool:
        """Whether the trial has an answer."""
        return self.holds is not None or self.value is not None


class Judge(Protocol):
    """Answers trials.

    `kind`, `model`, `base_url`, `prompt_hash` and `config` identify a judge, as they do a labeler.

    Attributes:
        jobs: Labels that are judged at the same time, each by a thread.
        together: Trials that one request holds.
    """

    kind: str
    model: str
    base_url: str
    prompt_hash: str
    config: dict[str, Any]
    jobs: int
    together: int

    @property
    def asker(self) -> Asker | None:
        """The VLM that is asked; None for a judge that asks none."""
        ...

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Return a verdict for each trial of one label, in their order."""
        ...


class ShareEstimate(NamedTuple):
    """A share, or a difference of shares, with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BaseRate:
    """How often a name holds in random cells of a layer, by a judge's answers.

    Attributes:
        yes: Cells in which the name holds.
        no: Cells in which it does not.
        unscored: Cells on which the answer could not be read.
    """

    yes: int
    no: int
    unscored: int = 0

    @property
    def rate(self) -> float | None:
        """The share of yes; None without an answer."""
        asked = self.yes + self.no
        return self.yes / asked if asked else None


@dataclass(frozen=True)
class ScoreResult:
    """A method's figure for one label, with its 95% confidence interval.

    Attributes:
        method: Name of the score.
        value: The figure; None where there is too little to score.
        ci_low: Lower end of the interval.
        ci_high: Upper end of the interval.
        tp: True trials that were answered with yes.
        fp: False trials that were answered with yes.
        tn: False trials that were answered with no.
        fn: True trials that were answered with no.
        unscored: Trials whose answer could not be read.
        note: Why there is no value.
        verdicts: All verdicts.
        precision: Share of the feature's active cells in which the name holds, of the score `gain`.
        base_rate: Share of all cells in which the name holds, of the score `gain`.
        holds: Whether the name holds where the feature is active; None where the answers are not clear.
    """

    method: str
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    tp: int = 0
    fp: int = 0
    tn: int = 0
    fn: int = 0
    unscored: int = 0
    note: str = ""
    verdicts: tuple[Verdict, ...] = field(default=())
    precision: ShareEstimate | None = None
    base_rate: ShareEstimate | None = None
    holds: bool | None = None
