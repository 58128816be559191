"""The truths of features as `evaluate` stored them, and whether a name says the truth. Known of shapes alone."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.shapes.label_verdict import LabelRuler

VERDICTS = {
    "exact": "The name says the truth.",
    "too broad": "The name says less than the truth: it also holds where the feature is silent.",
    "too narrow": "The name says more than the truth: the feature also fires where it does not hold.",
    "overlapping": "The name and the truth hold in some of the same cells.",
    "wrong": "The name does not hold where the truth does.",
}
"""What a name can be beside the truth, each with its meaning."""


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
        self._kept: dict[int, DictionaryTruths | None] = {}
        """Run -> the truths that it stored; None where it stored none. Of each dictionary the newest run."""
        self._runs: dict[int, int] = {}

    def of_dictionary(self, dictionary_id: int) -> DictionaryTruths | None:
        """Return the truths of a dictionary; None where `evaluate` found none yet, or the world is open."""
        if self.ctx.world.truth is None:
            return None
        with self.ctx.db.session() as session:
            run = queries.runs.last_done_id(session, "evaluate", dictionary_id)
            if run is None:
                return None
            with self._lock:
                if run not in self._kept:
                    stored = queries.runs.result(session, run).get("features_truths")
                    self._kept.pop(self._runs.get(dictionary_id, run), None)
                    self._kept[run] = DictionaryTruths(stored) if stored else None
                    self._runs[dictionary_id] = run
                return self._kept[run]

    def of(self, row: DictionaryRow, latent: int, name: str) -> KnownTruth | None:
        """Return the truth of a feature beside a name; None where `evaluate` found none yet, or the world is open."""
        truths = self.of_dictionary(row.id)
        return None if truths is None else truths.of(latent, name)


class DictionaryTruths:
    """The truths of one dictionary's features, as one evaluation stored them.

    Args:
        stored: What the evaluation stored, see `shapes.verdict.Evaluated.as_dict`.
    """

    def __init__(self, stored: dict[str, Any]) -> None:
        self._stored = stored
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._stored["truths"])

    def truth(self, latent: int) -> str:
        """Return the concept that is the truth of a feature; empty where none is."""
        found = self._stored["truths"][latent] if latent < len(self) else None
        return "" if found is None else str(self._stored["concepts"][found[0]])

    def of(self, latent: int, name: str) -> KnownTruth | None:
        """Return the truth of a feature beside a name; None of a feature that was not evaluated."""
        if latent >= len(self):
            return None
        concept = self.truth(latent)
        if not concept:
            return KnownTruth("", None, None, "", "No concept holds in enough of the cells in which it fires.")
        _, precision, base_rate = self._stored["truths"][latent][:3]
        verdict = self.verdict(name, concept) if name else ""
        return KnownTruth(concept, round(precision, 4), round(base_rate, 4), verdict, VERDICTS.get(verdict, ""))

    def verdict(self, name: str, concept: str) -> str:
        """Return what a name is beside a truth; of a pair that nobody asked for yet in some milliseconds."""
        with self._lock:
            return str(self._ruler.verdicts(name, [concept])[0])

    def has_verdict(self, name: str, concept: str) -> bool:
        """Return whether that is known already."""
        return self._ruler.has_verdict(name, concept)

    @cached_property
    def _ruler(self) -> LabelRuler:
        from autointerp.shapes.verdict import Evaluated

        return Evaluated.from_dict(self._stored).ruler
