"""A stored feature for people's own code: label, scores, and the crops on which it fires, with their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autointerp.crops.render import render_crop, render_glow
from autointerp.db import queries
from autointerp.db.models import Role, Split
from autointerp.labeling.protocol import CropEvidence
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.targets import find_feature
from autointerp.views.feature import read_feature
from autointerp.views.feature_view import FeatureLabel, FeatureScore, FeatureView
from autointerp.views.pictures import render

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class FeatureCrop:
    """A crop where a feature fires, or, for a negative, an image in which the feature is silent.

    Attributes:
        evidence: The crop as labelers and judges see it.
        split: `explain` crops are for labelers, `score` crops for scores.
        step: Denoising step, from 0; None for a negative.
        hard: The crop is a negative in which a feature of like direction fires.
    """

    evidence: CropEvidence
    split: Split
    step: int | None
    hard: bool

    @property
    def role(self) -> Role:
        """`top`, `quantile` or `negative`."""
        role = self.evidence.role
        assert role != "active"
        assert role != "random"
        return role

    @property
    def prompt(self) -> str:
        """Prompt of the image."""
        return self.evidence.prompt

    @property
    def activation(self) -> float:
        """Activation at the cell; 0 for a negative."""
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
        """Render the crop, `side` pixels on its longer side; `mark` outlines the cells where the feature fires."""
        if mark:
            return render(self.evidence, side)
        return render_crop(self.picture, self.box, mark=False, side=side)

    def heat(self, side: int = 224) -> Image.Image:
        """Render the whole picture, dark where the feature is silent and glowing where it fires.

        A crop without an activation map gives the plain picture.
        """
        if self.activation_map is None:
            return render_crop(self.picture, (0, 0, *self.picture.size), mark=False, side=side)
        return render_glow(self.picture, self.activation_map, side)


class StoredFeature:
    """The feature `DICTIONARY:INDEX` of a workspace. Label, scores and neighbours are read when first asked for.

    Raises:
        UsageError: The name is not written so, or there is no such feature.
    """

    def __init__(self, ctx: Context, name: str) -> None:
        self._ctx, self.name = ctx, name
        self._row, self._feature = find_feature(ctx, name)

    def __repr__(self) -> str:
        return f"<{self.name}: {self.label.name or self.label.status if self.label else 'no label'}>"

    @property
    def index(self) -> int:
        """Index of the latent."""
        return self._feature.latent_index

    @property
    def state(self) -> str:
        """`live`, `dead` or `dense`."""
        return self._feature.state

    @property
    def density(self) -> float:
        """Share of cells in which the feature is active."""
        return self._feature.density

    @property
    def max_activation(self) -> float:
        """Largest activation over all harvested cells."""
        return self._feature.max_activation

    @property
    def mean_activation(self) -> float:
        """Mean activation over the cells in which the feature is active."""
        return self._feature.mean_activation

    @property
    def label(self) -> FeatureLabel | None:
        """The label that counts, see `autointerp show`."""
        return self._view.label

    @property
    def scores(self) -> tuple[FeatureScore, ...]:
        """Scores of that label."""
        return self._view.scores

    @property
    def neighbours(self) -> dict[str, float]:
        """The features that fire with this one most -> the Jaccard index of their cells."""
        return {other.feature: other.jaccard for other in self._view.neighbours}

    def crops(self, role: Role | None = None, split: Split | None = None, hard: bool = False) -> list[FeatureCrop]:
        """Read the crops: top, then quantiles, then negatives, each strongest first.

        Args:
            role: Only `top`, `quantile` or `negative`.
            split: Only `explain` or `score`.
            hard: Hard negatives alone. By default they are left out.
        """
        feature_id = self._feature.id
        evidence = EvidenceReader(self._ctx.db, self._row).crops([feature_id], split, hard)[feature_id]
        with self._ctx.db.session() as session:
            rows = {crop.id: (crop.split, crop.step) for crop, _ in queries.crops.of_feature(session, feature_id)}
        return [FeatureCrop(e, *rows[e.crop_id or 0], hard) for e in evidence if role in (None, e.role)]

    def as_dict(self) -> dict[str, Any]:
        """Return all that is known of the feature, with the keys of `autointerp show --json`."""
        return self._view.as_dict()

    @cached_property
    def _view(self) -> FeatureView:
        return read_feature(self._ctx, self.name)
