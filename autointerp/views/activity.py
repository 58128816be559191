"""One dictionary's features in one picture, encoded at the dictionary's own layer and steps while the model runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autointerp.crops.geometry import cell_box
from autointerp.crops.render import MARKED
from autointerp.db.models import DictionaryRow
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.views.explained import ActiveFeature
from autointerp.views.labeled import LabeledFeature

if TYPE_CHECKING:
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.layers import Layer


class _Peak(NamedTuple):
    """The largest activation of a feature over cells and steps, and the step where it is."""

    one: LabeledFeature
    activation: float
    step: int

    @property
    def strength(self) -> float | None:
        """The activation as a share of the largest that was harvested; None where nothing was harvested."""
        largest = self.one.feature.max_activation
        return self.activation / largest if largest > 0 else None


class PictureActivity:
    """The activity of a dictionary's features in the picture that is being generated.

    Args:
        ctx: The workspace.
        row: A dictionary of image tokens.
        features: The features that may be named.
        job: The picture.
        looks: Further steps to look at. They have maps, but no part in how strong a feature is.

    Raises:
        UsageError: The dictionary reads none of the steps that are run, or another layer than the model has.
    """

    def __init__(
        self,
        ctx: Context,
        row: DictionaryRow,
        features: Sequence[LabeledFeature],
        job: ImageJob,
        looks: Collection[int] = (),
    ) -> None:
        from autointerp.dictionaries.storage import load_dictionary

        self.row, self.features = row, features
        self.layer: Layer = ctx.layer_of(row)
        self.steps = steps_to_read(ctx, row, job)
        self.looks = frozenset(looks) - set(self.steps)
        folder = ctx.workspace.dictionary_dir(row.name)
        self._dictionary: Dictionary = load_dictionary(folder, row.weights_sha256).to(ctx.model.device)
        self._grid = self.layer.grid
        self._codes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        """Step -> activations and indices of latents, both [cells, k]."""
        self._looked: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def consume(self, captured: LayerActivations) -> None:
        """Encode captured activations where they are of the dictionary's layer and of a step that it reads."""
        reads = captured.step in self.steps
        if captured.layer != self.layer or not (reads or captured.step in self.looks):
            return
        try:
            acts = captured.acts.reshape(-1, captured.acts.shape[-1])
            code = captured.counted(self._dictionary.encode(acts, captured.step))
        except UsageError:
            # A dictionary with a scale for each of its steps has none for others.
            if reads:
                raise
            return
        self._grid = captured.grid
        codes = self._codes if reads else self._looked
        codes[captured.step] = (code.latent_acts.float().cpu().numpy(), code.latent_indices.cpu().numpy())

    def active_features(self, size: tuple[int, int], count: int) -> list[ActiveFeature]:
        """Return the features that fire in any cell, the strongest first.

        Args:
            size: Width and height of the picture in pixels.
            count: Features at most.
        """
        peaks = sorted(self._peaks(), key=lambda peak: (-(peak.strength or 0.0), -peak.activation))
        return [self._active_feature(peak, size) for peak in peaks[:count]]

    def _peaks(self) -> list[_Peak]:
        """Return the peak of each feature that fires."""
        by_step = np.zeros((len(self._codes), self.row.num_latents), np.float32)
        for place, (acts, indices) in enumerate(self._codes.values()):
            np.maximum.at(by_step[place], indices.ravel(), acts.ravel())
        largest, where = by_step.max(0), by_step.argmax(0)
        steps = list(self._codes)
        return [
            _Peak(one, float(largest[one.feature.latent_index]), steps[int(where[one.feature.latent_index])])
            for one in self.features
            if largest[one.feature.latent_index] > 0
        ]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the cells."""
        return self._grid

    def maps(self, latent: int) -> dict[int, np.ndarray]:
        """Return a feature's activations at each step that was read or looked at, float32 [rows, cols]."""
        return {step: self._map(latent, step) for step in self.seen}

    @property
    def seen(self) -> list[int]:
        """The steps that were read or looked at."""
        return sorted({*self._codes, *self._looked})

    def _map(self, latent: int, step: int) -> np.ndarray:
        acts, indices = self._codes[step] if step in self._codes else self._looked[step]
        # Unused slots of a sparse code hold activation 0, so the index 0 in them adds nothing.
        return np.asarray((acts * (indices == latent)).sum(1).reshape(self._grid), np.float32)

    def _active_feature(self, peak: _Peak, size: tuple[int, int]) -> ActiveFeature:
        latent = peak.one.feature.latent_index
        heat = self._map(latent, peak.step)
        row, col = divmod(int(heat.argmax()), self._grid[1])
        boxes = [cell_box((int(r), int(c)), self._grid, size) for r, c in np.argwhere(heat >= MARKED * heat.max())]
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        return ActiveFeature(
            feature=f"{self.row.name}:{latent}",
            layer=self.row.layer,
            name=peak.one.row.name,
            explanation=peak.one.row.explanation,
            score=peak.one.score,
            activation=round(float(heat.max()), 4),
            strength=None if peak.strength is None else round(peak.strength, 4),
            cells=round(float((heat > 0).mean()), 4),
            cell=(row, col),
            step=peak.step,
            box=(min(lefts), min(tops), max(rights), max(bottoms)),
            activation_map=heat,
        )


def steps_to_read(ctx: Context, row: DictionaryRow, job: ImageJob) -> tuple[int, ...]:
    """Return the steps at which a dictionary reads the picture.

    A real picture is noised, and little of it is left at early steps. It is read at the dictionary's steps in the later
    half of the run, or else at the dictionary's last step.

    Raises:
        UsageError: The dictionary reads none of the steps that are run.
    """
    read = [step for step in row.steps if step < ctx.generation.steps]
    if not read:
        raise UsageError(
            f"{row.name} reads steps {', '.join(map(str, row.steps))}, and {ctx.generation.steps} are run",
            "leave it out, or set `steps` as it was fitted",
        )
    if job.picture is None or job.picture.inverted:
        return tuple(read)
    return tuple([step for step in read if step >= ctx.generation.steps / 2] or read[-1:])
