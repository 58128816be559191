"""Trials as they are stored: what was shown, and what was answered."""

from __future__ import annotations

from typing import Any

from autointerp.db.queries.scores import StoredTrial
from autointerp.labeling.protocol import Trial, Verdict


def stored_trial(verdict: Verdict) -> StoredTrial:
    """Return the row of a trial and its verdict."""
    trial = verdict.trial
    return StoredTrial(
        crop_id=None if trial.crop is None or trial.kind == "base" else trial.crop.crop_id,
        kind=trial.kind,
        panel=trial.panel,
        shown=_shown(trial),
        truth=trial.truth,
        holds=verdict.holds,
        value=verdict.value,
        error=verdict.error,
    )


def _shown(trial: Trial) -> dict[str, Any]:
    """Return what the trial's crop does not say: the source of a picture without a crop, or a mark elsewhere."""
    if trial.crop is None:
        return {"prompt": trial.prompt, "seed": trial.seed}
    if trial.kind == "base":
        return {"prompt": trial.crop.prompt, "cell": list(trial.crop.cell or ())}
    if trial.kind in ("displaced", "active", "namesake"):
        return {"box": list(trial.crop.box), "cell": list(trial.crop.cell or ())}
    return {}
