"""Linear readouts: ridge regression from sums over cells, so that no activation is kept.

Inputs are scaled to mean 0 and standard deviation 1, as the fit's cells have them. So one strength of the ridge means
the same for activations, codes and noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

RIDGES = (0.001, 0.01, 0.1, 1.0)
"""Strengths of the ridge that are tried, in units of an input's variance."""
BINS = 256
LOWEST, HIGHEST = -0.5, 1.5
"""Least and greatest threshold of a readout. A prediction outside this range counts as its nearer end."""


@dataclass
class Readout:
    """Scores of targets, linear in the inputs: `weights` float32 [width, targets], `bias` float32 [targets]."""

    weights: torch.Tensor
    bias: torch.Tensor

    def scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the scores of inputs [n, width], float32 [n, targets]."""
        return inputs.float() @ self.weights.to(inputs.device) + self.bias.to(inputs.device)


class Moments:
    """Sums over cells of inputs and targets, and the readouts that follow from them."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: list[torch.Tensor] = []

    def add(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Take in cells: inputs [n, width] and targets [n, targets]."""
        x, y = inputs.float(), targets.float().to(inputs.device)
        new = [x.sum(0), y.sum(0), x.T @ x, x.T @ y]
        new = [part.double().cpu() for part in new]
        self._sums = [a + b for a, b in zip(self._sums, new, strict=True)] if self._sums else new
        self.count += len(x)

    def solve(self, ridge: float, keep: np.ndarray | None = None) -> Readout:
        """Return the readout of a strength of the ridge.

        Args:
            ridge: The strength.
            keep: The inputs that may be used, int64 [m]; all if None. The others get the weight 0.
        """
        x, y, xx, xy = self._sums
        n = max(self.count, 1)
        mean, target = x / n, y / n
        spread = xx / n - torch.outer(mean, mean)
        joint = xy / n - torch.outer(mean, target)
        scale = spread.diagonal().clamp_min(0).sqrt()
        live = scale > 1e-6 * scale.max().clamp_min(1e-12)
        if keep is not None:
            chosen = torch.zeros(len(x), dtype=torch.bool)
            chosen[torch.from_numpy(np.asarray(keep, np.int64))] = True
            live = live & chosen
        at = live.nonzero().squeeze(1)
        s = scale[at]
        left = spread[at][:, at] / torch.outer(s, s) + ridge * torch.eye(len(at), dtype=torch.float64)
        weights = torch.zeros(len(x), len(target), dtype=torch.float64)
        weights[at] = torch.linalg.solve(left, joint[at] / s[:, None]) / s[:, None]
        return Readout(weights.float(), (target - mean @ weights).float())

    def target_means(self) -> np.ndarray:
        """Return the mean of each target, float64 [targets]."""
        return np.asarray((self._sums[1] / max(self.count, 1)).numpy())

    def strongest(self, count: int) -> np.ndarray:
        """Return the inputs that say most about the targets one by one: by the sum of squared correlations."""
        x, y, xx, xy = self._sums
        n = max(self.count, 1)
        joint = xy / n - torch.outer(x / n, y / n)
        variance = (xx.diagonal() / n - (x / n).square()).clamp_min(0)
        of_target = (y / n * (1 - y / n)).clamp_min(1e-9)
        told = (joint.square() / of_target).sum(1) / variance.clamp_min(1e-12)
        told[variance <= 1e-12] = 0
        # Ties go to the smaller number, so that the choice is the same everywhere.
        return np.argsort(-told.numpy(), kind="stable")[:count]


class Thresholds:
    """Counts of scores inside and outside of each target, and the threshold of the best IoU that follows."""

    def __init__(self, targets: int) -> None:
        self._counts = np.zeros((2, targets, BINS), np.int64)

    def add(self, scores: torch.Tensor, truth: np.ndarray) -> None:
        """Take in cells: scores [n, targets] and truth bool [n, targets]."""
        numbers = (scores.cpu().numpy() - LOWEST) / (HIGHEST - LOWEST) * BINS
        bins = np.clip(np.floor(numbers), 0, BINS - 1).astype(np.int64)
        targets = truth.shape[1]
        place = bins + BINS * np.arange(targets)
        for number, inside in enumerate((truth, ~truth)):
            found = np.bincount(place[inside], minlength=targets * BINS)
            self._counts[number] += found.reshape(targets, BINS)

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each target's threshold, and the IoU there; NaN where the target never holds.

        Returns:
            float64 [targets] each. A cell counts as the target's if its score is at least the threshold.
        """
        inside, outside = (counts[:, ::-1].cumsum(1)[:, ::-1] for counts in self._counts)
        total = inside[:, :1]
        with np.errstate(invalid="ignore", divide="ignore"):
            iou = inside / (total + outside)
        iou[total[:, 0] == 0] = np.nan
        at = np.nan_to_num(iou, nan=-1.0).argmax(1)
        edges = LOWEST + (HIGHEST - LOWEST) * np.arange(BINS) / BINS
        return edges[at], iou[np.arange(len(at)), at]


def overlaps(scores: torch.Tensor, thresholds: np.ndarray, truth: np.ndarray, pictures: int) -> np.ndarray:
    """Count the cells in both and in either of a map and its truth, for each picture.

    Args:
        scores: float [pictures * cells, targets].
        thresholds: float [targets].
        truth: bool [pictures * cells, targets].
        pictures: How many pictures there are.

    Returns:
        int32 [2, pictures, targets]: intersections, unions.
    """
    said = scores.cpu().numpy() >= thresholds
    both, either = (part.reshape(pictures, -1, truth.shape[1]).sum(1) for part in (said & truth, said | truth))
    return np.stack([both, either]).astype(np.int32)


def one_hot(values: np.ndarray, count: int) -> np.ndarray:
    """Return values [n], -1 for none, as bool [n, count]."""
    return np.asarray(values.reshape(-1, 1) == np.arange(count))


def best_ridge(found: Sequence[Thresholds], among: slice) -> int:
    """Return the number of the ridge whose IoU, summed over some targets, is best."""
    ious = [one.best()[1][among] for one in found]
    return int(np.argmax([np.nan_to_num(iou).sum() for iou in ious]))
