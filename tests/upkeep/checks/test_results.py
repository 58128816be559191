"""Features, labels, scores and labelers that contradict themselves are named."""

from __future__ import annotations

from autointerp.project.context import Context
from autointerp.upkeep.checks.results import check_features, check_labels

from ..damage import LABEL, NAME, assert_each_is_seen

DAMAGE = {
    "feature": ("DELETE FROM features WHERE latent_index = 63", f"{NAME} has 63 features from 0 to 62, and 64 latents"),
    "label": (f"UPDATE labels SET name = '' WHERE id = {LABEL}", "is ok, with the name ''"),
    "score": (
        "UPDATE scores SET value = ci_high + 1 WHERE id = (SELECT min(id) FROM scores WHERE value IS NOT NULL)",
        "outside of its interval",
    ),
    "labeler": ("UPDATE labelers SET config = '{}' WHERE kind = 'clip'", "the config_hash of labeler 1 is not"),
}


def test_each_kind_of_damage_is_named(ctx: Context) -> None:
    assert_each_is_seen(ctx, DAMAGE, check_features, check_labels)
