"""The truths of features as `evaluate` stored them, and whether a name says the truth. Known of shapes alone."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.shapes.label_verdict import LabelRuler

_VERDICTS = {
    "exact": "The name says the truth.",
    "too broad": "The name says less than the truth: it also holds where the feature is silent.",
    "too narrow": "The name says more than the truth: the feature also fires where it does not hold.",
    "overlapping": "The name and the truth hold in some of the same cells.",
    "wrong": "The name does not hold where the truth does.",
}


@dataclass(frozen=True)
class KnownTruth:
    """The truth of a feature, and what a name is beside it.

    Attributes:
        truth: The narrowest concept that holds where the feature fires; empty where none does.
        precision: Share of its active cells in which the concept holds; None without a truth.
        base_rate: Share of all cells in which it holds; None without a truth.
        verdict: `exact`, `too broad`, `too narrow`, `overlapping` or `wrong`; empty without a name or a truth.
        meaning: The verdict in a sentence.
    """

    truth: str
    precision: float | None
    base_rate: float | None
    verdict: str
    meaning: str

    def as_dict(self) -> dict[str, Any]:
        """Return the answer of `/api/truth`."""
        return asdict(self)


class KnownTruths:
    """Reads the truths of a workspace. What is read of an evaluation is kept. May be asked by several threads.

    Args:
        ctx: The workspace.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self._lock = threading.Lock()
        self._rulers: dict[int, LabelRuler] = {}

    def of(self, row: DictionaryRow, latent: int, name: str) -> KnownTruth | None:
        """Return the truth of a feature beside a name; None where `evaluate` found none yet, or the world is open."""
        if self.ctx.world.truth is None:
            return None
        with self.ctx.db.session() as session:
            run = queries.runs.last_done(session, "evaluate", row.id)
            stored = None if run is None else run.result.get("features_truths")
        if run is None or not stored or latent >= len(stored["truths"]):
            return None
        truth = stored["truths"][latent]
        if truth is None:
            return KnownTruth("", None, None, "", "No concept holds in enough of the cells in which it fires.")
        concept = stored["concepts"][truth[0]]
        verdict = str(self._ruler(run.id, stored).verdict(name, concept)) if name else ""
        return KnownTruth(concept, round(truth[1], 4), round(truth[2], 4), verdict, _VERDICTS.get(verdict, ""))

    def _ruler(self, run_id: int, stored: dict[str, Any]) -> LabelRuler:
        from autointerp.shapes.verdict import Evaluated

        with self._lock:
            if run_id not in self._rulers:
                self._rulers = {run_id: Evaluated.from_dict(stored).ruler}
            return self._rulers[run_id]
