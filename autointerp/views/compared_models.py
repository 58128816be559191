"""Two models with one dictionary: which features fire more, less or newly on the other, as the experiment stored it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.views.compare import feature_names
from autointerp.views.experiments import StoredExperiment, list_experiments
from autointerp.views.figures import Figure

KIND = "models"
"""The experiment that compares."""
CHANGES = ("more", "less", "new", "gone")
"""What a feature does on the other model. One that is new fires in no picture of the workspace's model, and one that is
gone in none of the other's."""
DIFFER, ALONE = "features that differ", "features that differ, each by itself"
"""Names of the figures that count features: with all features in mind, and without."""
FOUND, SWAPPED = "found", "pictures swapped"
"""The ways of these figures; the second is the control."""
DIFFERENCE, CHANCE = "difference", "chance"
"""Ways of a feature's figures, beside the two models."""


def change_figure(change: str) -> str:
    """Return the name of the figures of features with a change.

    >>> change_figure("new")
    'percent of cells where it fires: new'
    """
    return f"percent of cells where it fires: {change}"


@dataclass(frozen=True)
class ChangedFeature:
    """A feature that fires otherwise on the other model.

    Attributes:
        feature: `DICTIONARY:INDEX`.
        name: The name of the label that counts; None where it has none.
        change: One of `CHANGES`.
        density: Shares of cells in which it fires, on the workspace's model and on the other.
        difference: The second less the first.
        low: Lower end of the difference's 95% interval, over pictures.
        high: Upper end of it.
        chance: The chance that any feature at all would differ so much if the models were the same.
    """

    feature: str
    name: str | None
    change: str
    density: tuple[float, float]
    difference: float
    low: float | None
    high: float | None
    chance: float

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `changed` in `compare --model --json`."""
        return {
            "feature": self.feature,
            "name": self.name,
            "change": self.change,
            "density": list(self.density),
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "chance": self.chance,
        }


@dataclass(frozen=True)
class ModelComparison:
    """Two models beside each other. Pairs of values are of the workspace's model and of the other.

    Attributes:
        experiment: How the experiment is stored.
        dictionary: Name of the dictionary.
        models: What the two are called.
        images: Pictures of each.
        counts: Features that differ with all of them in mind, by their change.
        alone: Features that differ each by itself, by `more` and `less`.
        by_chance: How many of them do so after pictures were swapped between the models, with the ends of 95% of swaps.
        fvu: Share of the layer's variance that the dictionary leaves unexplained.
        l0: Features that fire in a cell.
        changed: The features that differ, by their change; of many the ones that differ most.
    """

    experiment: StoredExperiment
    dictionary: str
    models: tuple[str, str]
    images: int
    counts: Mapping[str, int]
    alone: Mapping[str, int]
    by_chance: Mapping[str, tuple[float, float, float]]
    fvu: tuple[float | None, float | None]
    l0: tuple[float | None, float | None]
    changed: Sequence[ChangedFeature]

    def as_dict(self) -> dict[str, Any]:
        """Return the stable keys of `compare --model --json`, less its files."""
        return {
            "dictionary": self.dictionary,
            "models": list(self.models),
            "images": self.images,
            "counts": dict(self.counts),
            "alone": dict(self.alone),
            "by_chance": {change: list(values) for change, values in self.by_chance.items()},
            "fvu": list(self.fvu),
            "l0": list(self.l0),
            "changed": [one.as_dict() for one in self.changed],
        }


def list_model_comparisons(ctx: Context) -> list[StoredExperiment]:
    """Read the finished comparisons of models, newest first."""
    return [one for one in list_experiments(ctx) if one.kind == KIND and one.figures]


def read_model_comparison(ctx: Context, stored: StoredExperiment) -> ModelComparison:
    """Return what a finished comparison found, with the names that its features have now."""
    configuration = stored.configuration
    first, second = (str(one["name"]) for one in configuration["models"])
    at = {(one.name, one.group, one.way): one for one in stored.figures}
    dictionary = str(configuration["dictionary"])
    with ctx.db.session() as session:
        row = queries.dictionaries.by_name(session, dictionary)
        known = {} if row is None else feature_names(session, row.id)
    names = {f"{dictionary}:{latent}": name for latent, name in known.items()}
    swapped = {change: at[ALONE, change, SWAPPED] for change in CHANGES[:2]}
    changed = [
        _changed(at, change, group, (first, second), names)
        for change in CHANGES
        for group in dict.fromkeys(one.group for one in stored.figures if one.name == change_figure(change))
    ]
    return ModelComparison(
        experiment=stored,
        dictionary=dictionary,
        models=(first, second),
        images=int(configuration["images"]),
        counts={change: round(at[DIFFER, change, FOUND].value or 0) for change in CHANGES},
        alone={change: round(at[ALONE, change, FOUND].value or 0) for change in CHANGES[:2]},
        by_chance={change: (one.value or 0.0, one.low or 0.0, one.high or 0.0) for change, one in swapped.items()},
        fvu=(at["fvu", "all cells", first].value, at["fvu", "all cells", second].value),
        l0=(at["l0", "all cells", first].value, at["l0", "all cells", second].value),
        changed=changed,
    )


def _changed(
    at: Mapping[tuple[str, str, str], Figure],
    change: str,
    feature: str,
    models: tuple[str, str],
    names: Mapping[str, str],
) -> ChangedFeature:
    first, second, difference = (at[change_figure(change), feature, way] for way in (*models, DIFFERENCE))
    here, there, apart, low, high = (
        None if value is None else value / 100
        for value in (first.value, second.value, difference.value, difference.low, difference.high)
    )
    chance = at[change_figure(change), feature, CHANCE].value
    return ChangedFeature(
        feature=feature,
        name=names.get(feature),
        change=change,
        density=(here or 0.0, there or 0.0),
        difference=apart or 0.0,
        low=low,
        high=high,
        chance=1.0 if chance is None else chance,
    )
