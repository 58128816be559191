"""Options of the labeler `clip`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipOptions:
    """Options of the labeler `clip`: its crops, candidates, thresholds and penalties."""

    windows: tuple[float, ...] = (3.0, 6.0)
    """Sides of the windows around a cell, in cells."""
    max_crops: int = 40
    """A feature's crops that are looked at, strongest first."""
    max_background: int = 1200
    """Crops of the layer that a feature is contrasted with."""
    anywhere: int = 3
    """Random cells of each of these crops' pictures, added because cells that fire are no fair sample of a picture."""
    min_count: int = 3
    """Prompts of the layer that must say a phrase for it to be a candidate."""
    max_words: int = 3
    """Words of the longest phrase that is taken from a prompt."""
    max_phrases: int = 3000
    """Candidates from the prompts at most, the most frequent phrases."""
    text_weight: float = 1.0
    """Weight of a crop's prompt saying the phrase, in standard deviations of similarity."""
    slack: tuple[float, ...] = (1.0, 1.6)
    """Multiples of a prompt phrase's base rate that its thresholds let through."""
    free_bases: tuple[float, ...] = (0.05, 0.1, 0.18, 0.25, 0.35, 0.45)
    """Base rates that are tried for a phrase that no prompt says."""
    free_penalty: float = 0.6
    """Penalty of such a phrase in nats, unless it is familiar: of hundreds, some fit a few similar crops by chance."""
    word_penalty: float = 0.05
    """Penalty of each word beyond the first, in nats: a narrower phrase must win by a margin."""
    floor: float = 0.3
    """Crops and cells below this share of the feature's strongest are ignored: many fire there by accident."""
    spots: int = 4
    """Cells that are looked at in each crop's picture, of those above that share: the strongest, and others at even
    ranks below it. Each costs a window of every size."""
    least_precision: float = 0.8
    """Share of the crops for which a label should hold, however rare it is elsewhere."""
    imprecision_penalty: float = 8.0
    """Penalty of each unit of precision below that share, in nats."""
    min_gain: float = 0.3
    """Gain in nats a crop below which a feature is not named."""
    seed: int = 0
