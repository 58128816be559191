"""A stored feature as an object for people's own code: label, scores, and the crops on which it fires."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from autointerp.crops.render import render_crop, render_glow
from autointerp.db.models import Crop, Role, Split
from autointerp.labeling.protocol import CropEvidence
from autointerp.stages.context import Context
from autointerp.stages.evidence import EvidenceReader
from autointerp.stages.read import find_feature, read_feature, render

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class FeatureLabel:
    """What a labeler said. `status` is `ok`, `uninterpretable` or `failed`; only an ok label has a name."""

    status: str
    name: str
    explanation: str
    confidence: float
    labeler: str
    error: str = ""


@dataclass(frozen=True)
class FeatureScore:
    """A method's figure for the label, with its 95% interval; `value` is None where nothing could be scored."""

    method: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    note: str = ""


@dataclass(frozen=True)
class FeatureCrop:
    """Where a feature fires in one image, or, for a negative, an image in which it does not.

    `split` says who may see it: the labeler (`explain`), or those who score (`score`). `step` is the 0-based denoising
    step; None for a negative. `hard` is a negative in which a feature of like direction fires.
    """

    evidence: CropEvidence
    split: Split
    step: int | None
    hard: bool

    @property
    def role(self) -> Role:
        """`top`, `quantile` or `negative`."""
        return self.evidence.role

    @property
    def prompt(self) -> str:
        """What the image was generated from."""
        return self.evidence.prompt

    @property
    def activation(self) -> float:
        """At its cell; 0 for a negative."""
        return self.evidence.activation

    @property
    def cell(self) -> tuple[int, int] | None:
        """(row, col) of the maximum; None for a negative."""
        return self.evidence.cell

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the crop in pixels of `picture`."""
        return self.evidence.box

    @property
    def activation_map(self) -> np.ndarray | None:
        """The feature over the whole grid, float32 [rows, cols]; None for a negative and for text tokens."""
        return self.evidence.activation_map

    @property
    def picture(self) -> Image.Image:
        """The whole picture, RGB."""
        return self.evidence.picture

    def image(self, side: int = 224, mark: bool = True) -> Image.Image:
        """The crop, its longer side of so many pixels; with `mark` the cells where the feature fires are outlined."""
        if mark:
            return render(self.evidence, side)
        return render_crop(self.picture, self.box, mark=False, side=side)

    def heat(self, side: int = 224) -> Image.Image:
        """The whole picture, dark where the feature is silent and glowing where it fires; as it is without a map."""
        if self.activation_map is None:
            return render_crop(self.picture, (0, 0, *self.picture.size), mark=False, side=side)
        return render_glow(self.picture, self.activation_map, side)


class StoredFeature:
    """The feature `DICTIONARY:INDEX` of a workspace.

    Raises:
        UsageError: It is not written so, or does not exist.
    """

    def __init__(self, ctx: Context, name: str) -> None:
        self._ctx, self.name = ctx, name
        self._row, self._feature = find_feature(ctx, name)

    def __repr__(self) -> str:
        return f"<{self.name}: {self.label.name or self.label.status if self.label else 'no label'}>"

    @property
    def index(self) -> int:
        """Its latent's index."""
        return self._feature.latent_index

    @property
    def state(self) -> str:
        """`live`, `dead` or `dense`."""
        return self._feature.state

    @property
    def density(self) -> float:
        """Share of cells where it is active."""
        return self._feature.density

    @property
    def max_activation(self) -> float:
        """Over all harvested cells."""
        return self._feature.max_activation

    @property
    def mean_activation(self) -> float:
        """Over the cells where it is active."""
        return self._feature.mean_activation

    @property
    def label(self) -> FeatureLabel | None:
        """The label that counts, see `autointerp show`."""
        found = self._known["label"]
        return None if found is None else FeatureLabel(**found)

    @property
    def scores(self) -> tuple[FeatureScore, ...]:
        """Those of its label."""
        return tuple(FeatureScore(**score) for score in self._known["scores"])

    @property
    def neighbours(self) -> dict[str, float]:
        """The features that fire with it most -> the Jaccard index of their cells."""
        return {other["feature"]: other["jaccard"] for other in self._known["neighbours"]}

    def crops(self, role: Role | None = None, split: Split | None = None, hard: bool = False) -> list[FeatureCrop]:
        """Its crops: top, then quantiles, then negatives, each strongest first.

        Args:
            role: Only `top`, `quantile` or `negative`.
            split: Only `explain` or `score`.
            hard: Only hard negatives; without it there are none.
        """
        feature = self._feature.id
        evidence = EvidenceReader(self._ctx.db, self._row).crops([feature], split, hard)[feature]
        with self._ctx.db.session() as session:
            query = select(Crop.id, Crop.split, Crop.step).where(Crop.feature_id == feature)
            known = {crop: (part, step) for crop, part, step in session.execute(query)}
        return [FeatureCrop(e, *known[e.crop_id], hard) for e in evidence if role in (None, e.role)]

    def as_dict(self) -> dict[str, Any]:
        """All that is known of it, with the keys of `autointerp show --json`."""
        return self._known

    @cached_property
    def _known(self) -> dict[str, Any]:
        return read_feature(self._ctx, self.name)
