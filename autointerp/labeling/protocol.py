"""The seams of labeling: what a labeler is shown, what it answers, and who judges the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from autointerp.texts import EXPLANATION, NAME, REASON, clean

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class CropEvidence:
    """Where a feature fires in one image, or, for a negative, an image in which it does not.

    `picture` is the whole stored picture; `box` (left, top, right, bottom) is in its pixels. `cell` (row, col) and
    `activation_map` (float32 [rows, cols], raw activations) are None for a negative. `activation` is 0 for one.
    """

    crop_id: int
    image_id: int
    prompt: str
    picture: Image.Image
    box: tuple[int, int, int, int]
    grid: tuple[int, int]
    cell: tuple[int, int] | None
    activation: float
    activation_map: np.ndarray | None
    role: Literal["top", "quantile", "negative"]


@dataclass(frozen=True)
class FeatureEvidence:
    """All that a labeler may see of a feature: crops of the explain split alone, strongest first."""

    feature: str
    feature_id: int
    density: float
    crops: tuple[CropEvidence, ...]
    negatives: tuple[CropEvidence, ...] = ()


@dataclass(frozen=True)
class LayerContext:
    """What is usual in the layer, to contrast a feature against.

    `crops`: a seeded sample of explain-split crops over all live features. `prompts`: every prompt of the layer's
    explain-split images, one entry an image.
    """

    crops: tuple[CropEvidence, ...]
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class LabelResult:
    """A labeler's answer. A failure is recorded as a failure, never as a placeholder name.

    Whoever said it, its texts are one line each, of bounded length, and hold nothing that is not seen.
    """

    feature_id: int
    status: Literal["ok", "uninterpretable", "failed"]
    name: str = ""
    explanation: str = ""
    confidence: float = 0.0
    error: str = ""

    def __post_init__(self) -> None:
        for text, limit in (("name", NAME), ("explanation", EXPLANATION), ("error", REASON)):
            object.__setattr__(self, text, clean(getattr(self, text), limit))


class Labeler(Protocol):
    """Names features.

    `kind`, `model`, `base_url`, `prompt_hash` and `config` identify it: labels of two labelers that agree in all
    of these are the same result.
    """

    kind: str
    model: str
    base_url: str
    prompt_hash: str
    config: dict[str, Any]

    def prepare(self, context: LayerContext) -> None:
        """See what is usual in the layer; called once before `label`."""
        ...

    def label(self, features: Sequence[FeatureEvidence]) -> Iterator[LabelResult]:
        """Answer for each feature, in any order, each as soon as it is known."""
        ...


@dataclass(frozen=True)
class ScoreEvidence:
    """What trials of one feature are made of. Only the parts that a method says it needs are there.

    `firing`, `silent` and `hard` are crops of the score split, which no labeler saw: where the feature fires, random
    images in which it is silent, and images in which it is silent and a feature of like direction fires. `foreign` are
    crops of other features in images of the two latter kinds. `seen` are the explain split's strongest crops, `others`
    the same of other features, one each. `unrelated` are (prompt, seed) of images that the run does not have.
    """

    latent: int
    firing: tuple[CropEvidence, ...] = ()
    silent: tuple[CropEvidence, ...] = ()
    hard: tuple[CropEvidence, ...] = ()
    foreign: tuple[CropEvidence, ...] = ()
    seen: tuple[CropEvidence, ...] = ()
    others: tuple[CropEvidence, ...] = ()
    unrelated: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Trial:
    """One question: does `name` (with its `explanation`) hold for what is shown?

    Shown is `crop`, marked where its `box` is, or else a picture generated from `prompt` and `seed`. Trials of one
    `panel` are shown together, and one of them does not belong. `latent` is the feature's.
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


@dataclass(frozen=True)
class Verdict:
    """An answer to a trial: a truth value, a number, or both; neither where it could not be read.

    What could not be read is unscored, never wrong.
    """

    trial: Trial
    holds: bool | None = None
    error: str = ""
    value: float | None = None

    @property
    def scored(self) -> bool:
        """Whether there is an answer."""
        return self.holds is not None or self.value is not None


class Judge(Protocol):
    """Answers trials.

    `kind`, `model`, `base_url`, `prompt_hash` and `config` identify it, as they do a labeler.
    """

    kind: str
    model: str
    base_url: str
    prompt_hash: str
    config: dict[str, Any]

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Answer all trials of one label, in their order."""
        ...


@dataclass(frozen=True)
class ScoreResult:
    """A method's figure for one label, with its 95% confidence interval.

    Counts are of trials (0 for methods without trials); `unscored` are those whose answer could not be read.
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


@dataclass(frozen=True)
class CallRecord:
    """One HTTP attempt to a model, or one line of a batch: what the `calls` table keeps of it.

    `answer` is None where no completion came, and empty where one came, and was paid for, that holds no whole reply;
    `error` says why.
    """

    request_hash: str
    purpose: str
    model: str
    answer: str | None
    error: str
    input_tokens: int
    output_tokens: int
    cost: float | None
    latency_ms: float


@dataclass(frozen=True)
class KnownAnswer:
    """What a request was once answered: `text`, or nothing with the reason in `error`."""

    text: str
    error: str


class Ledger(Protocol):
    """Where calls are recorded, and where an answer that was already paid for is found again."""

    def find(self, request_hash: str) -> KnownAnswer | None:
        """The newest answer of an earlier call with this request, if one came."""
        ...

    def record(self, calls: Sequence[CallRecord]) -> None:
        """Keep some attempts, all of them or none; when it returns they are kept for good."""
        ...

    def reject(self, request_hash: str, error: str) -> None:
        """Note why the newest answer of a request is of no use; `find` still gives it."""
        ...
