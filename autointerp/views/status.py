"""The status of a workspace: counts of each dictionary, and the cost of calls to remote models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.project.context import Context


@dataclass(frozen=True)
class DictionaryStatus:
    """Counts and figures of one dictionary. Fields have the names and the order of the keys of `status --json`.

    Attributes:
        dictionary: The dictionary's name.
        layer: Alias of the layer, or its hookpoint where it has no alias.
        stream: `image` or `text`.
        kind: The dictionary's kind, e.g. `topk`.
        features: Number of latents.
        live: Features that fire in at most half of all cells.
        dead: Features that never fire.
        dense: Features that fire in more than half of all cells.
        labels: Features whose newest label has a name.
        uninterpretable: Features whose newest label says that no name fits.
        failed: Features for which labeling failed each time.
        scores: Scores of labels, without the controls.
        images: Images in which the crops lie.
        crops: Stored crops.
        fvu: Fraction of variance unexplained, on held-out activations.
        l0: Mean number of active latents a token.
        figures: Further figures of the reconstruction, by the names that `evaluate` uses.
        assumed: What was assumed when the dictionary was imported; empty for one that was fitted here.
    """

    dictionary: str
    layer: str
    stream: str
    kind: str
    features: int
    live: int
    dead: int
    dense: int
    labels: int
    uninterpretable: int
    failed: int
    scores: int
    images: int
    crops: int
    fvu: float | None
    l0: float | None
    figures: Mapping[str, Any]
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spending:
    """Calls to remote models, and the cost of their answers.

    Attributes:
        calls: HTTP attempts.
        answers: Attempts that were answered.
        input_tokens: Tokens sent, as the servers counted them.
        output_tokens: Tokens received, as the servers counted them.
        spent: Dollars, over all answers of known price.
        unpriced: Answers whose price is unknown.
        remaining: Live features without a label, in dictionaries that a remote model has labeled in part.
        expected: Dollars that the remaining features would cost at the mean cost of a feature so far. None where
            nothing was labeled yet, or some answers have no price.
    """

    calls: int
    answers: int
    input_tokens: int
    output_tokens: int
    spent: float
    unpriced: int
    remaining: int
    expected: float | None


@dataclass(frozen=True)
class Status:
    """A workspace at a glance: its folder, its model, every dictionary, and the calls to remote models."""

    workspace: str
    model: str
    dictionaries: tuple[DictionaryStatus, ...]
    calls: Spending

    def dictionary(self, name: str) -> DictionaryStatus:
        """Return the status of the dictionary of that name, which must exist."""
        return next(row for row in self.dictionaries if row.dictionary == name)

    def as_dict(self) -> dict[str, Any]:
        """Return the stable keys of `status --json`."""
        return {
            "workspace": self.workspace,
            "model": self.model,
            "dictionaries": [{**asdict(row), "assumed": list(row.assumed)} for row in self.dictionaries],
            "calls": asdict(self.calls),
        }


def read_status(ctx: Context) -> Status:
    """Read how far every dictionary is, oldest first, and what was spent on remote models."""
    with ctx.db.session() as session:
        dictionaries = tuple(
            _dictionary_status(row, queries.dictionaries.counts(session, row.id))
            for row in queries.dictionaries.list_all(session)
        )
        calls = _spending(queries.calls.counts(session))
    return Status(str(ctx.workspace.path), ctx.settings.model, dictionaries, calls)


def _dictionary_status(row: DictionaryRow, counts: queries.dictionaries.DictionaryCounts) -> DictionaryStatus:
    return DictionaryStatus(
        dictionary=row.name,
        layer=row.layer,
        stream=row.stream,
        kind=row.kind,
        features=row.num_latents,
        live=counts.features.get("live", 0),
        dead=counts.features.get("dead", 0),
        dense=counts.features.get("dense", 0),
        labels=counts.labels.get("ok", 0),
        uninterpretable=counts.labels.get("uninterpretable", 0),
        failed=counts.labels.get("failed", 0),
        scores=counts.scores,
        images=counts.images,
        crops=counts.crops,
        fvu=row.fvu,
        l0=row.l0,
        figures=row.figures,
        assumed=row.assumed,
    )


def _spending(counts: queries.calls.CallCounts) -> Spending:
    """Add what the features without a label would cost to the counts of calls."""
    is_priced = counts.named and counts.answers and not counts.unpriced
    return Spending(
        calls=counts.calls,
        answers=counts.answers,
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        spent=counts.spent,
        unpriced=counts.unpriced,
        remaining=counts.unnamed,
        expected=counts.spent / counts.named * counts.unnamed if is_priced else None,
    )
