"""Checks of features, labels, scores and labelers: their columns fit each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.project.context import identity

if TYPE_CHECKING:
    from autointerp.progress import Task
    from autointerp.project.context import Context


def check_features(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the dictionaries whose features are not their latents.

    After a harvest each latent has one feature. Before a harvest only the features that an import has named are there.
    """
    del bar
    with ctx.db.session() as session:
        for found in queries.checks.latent_ranges(session):
            is_partial = found.harvested and found.features != found.num_latents
            if found.first < 0 or found.last >= found.num_latents or is_partial:
                yield (
                    f"{found.dictionary} has {found.features} features from {found.first} to {found.last}, "
                    f"and {found.num_latents} latents"
                )


def check_labels(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the labels, scores and labelers that contradict themselves."""
    del bar
    with ctx.db.session() as session:
        for label in queries.checks.label_results(session):
            has_name, is_named = bool(label.name), label.status == "ok"
            if has_name != is_named or (label.status == "failed" and not label.error):
                yield (
                    f"label {label.label_id} is {label.status}, with the name {label.name!r} "
                    f"and the error {label.error!r}"
                )
        for score in queries.checks.score_intervals(session):
            low, high = score.ci_low, score.ci_high
            if low is not None and high is not None and not low <= score.value <= high:
                yield (f"score {score.score_id} is {score.value:g}, outside of its interval from {low:g} to {high:g}")
        for labeler in queries.checks.labeler_configs(session):
            if labeler.config_hash and labeler.config_hash != identity(labeler.config):
                yield f"the config_hash of labeler {labeler.labeler_id} is not that of its config"
