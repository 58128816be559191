"""Matching given labels with stored features: which feature, which labeler, and whether the label says anything new.

A label that a labeler of this workspace gave, and that a person changed in a file, becomes that person's label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.errors import UsageError, nearest
from autointerp.labeling.labelers.given import GivenLabel, RefusedLabel
from autointerp.labeling.labelers.label_files import OTHERS
from autointerp.project.context import identity
from autointerp.project.labeler_names import labelers_called
from autointerp.texts import EXPLANATION, NAME, clean

if TYPE_CHECKING:
    from autointerp.db import Session
    from autointerp.db.models import DictionaryRow, Label
    from autointerp.db.queries.labels import BestLabel

_KIND = 32
"""The most characters of a labeler's kind."""


@dataclass(frozen=True)
class LabelAuthor:
    """The labeler that a given label is stored under.

    Attributes:
        kind: `human`, or the kind that the file or its format says.
        model: The person's name, or the model that the file says.
        origin: The format that the label comes from; empty for a person.
    """

    kind: str
    model: str = ""
    origin: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """The labeler's settings, which tell it from a labeler of that kind that ran in this workspace."""
        return {"import": self.origin} if self.origin else {}


@dataclass(frozen=True)
class MatchedLabel:
    """A given label with the stored feature that it names; `given.feature` is `DICTIONARY:INDEX`."""

    given: GivenLabel
    dictionary: DictionaryRow
    feature_id: int


@dataclass
class LabelMatches:
    """The labels of a file, by what becomes of them, each in the file's order.

    Attributes:
        new: Labels to store, with their authors.
        known: How many labels are stored already.
        refused: Labels that cannot be stored, with the reasons.
    """

    new: list[tuple[LabelAuthor, MatchedLabel]] = field(default_factory=list)
    known: int = 0
    refused: list[RefusedLabel] = field(default_factory=list)


class LabelMatcher:
    """Matches given labels with the features and labels of a workspace.

    Args:
        session: An open session.
        form: The format of the labels.
        dictionary: The name of the dictionary that features given by a number alone belong to.
        by: The person whose labels name no labeler.
    """

    def __init__(self, session: Session, form: str, dictionary: str | None, by: str) -> None:
        self.session, self.form, self.dictionary, self.by = session, form, dictionary, by
        self._labelers = queries.labelers.with_labels(session)
        self._dictionaries = {row.name: row for row in queries.dictionaries.list_all(session)}
        self._feature_ids: dict[str, dict[int, int]] = {}

    def match(self, given: Sequence[GivenLabel | RefusedLabel]) -> LabelMatches:
        """Match the labels of a file.

        Raises:
            UsageError: A feature is a number alone and no dictionary is named, or the file is of other layers.
        """
        matches = LabelMatches()
        matched: list[MatchedLabel] = []
        for label in self._of_one_layer(given):
            found = label if isinstance(label, RefusedLabel) else self._feature_of(label)
            if isinstance(found, RefusedLabel):
                matches.refused.append(found)
            else:
                matched.append(found)
        current = self._current(matched)
        places: dict[tuple[int, LabelAuthor], str] = {}
        for one in matched:
            author, is_known = self._author_of(one, current.get(one.feature_id, []))
            place, key = one.given.place, (one.feature_id, author)
            if len(author.kind) > _KIND:
                matches.refused.append(RefusedLabel(place, f"its labeler is longer than {_KIND} characters"))
            elif key in places:
                matches.refused.append(RefusedLabel(place, f"{one.given.feature} is in {places[key]} already"))
            else:
                places[key] = place
                matches.known += is_known
                matches.new += [] if is_known else [(author, one)]
        return matches

    def _of_one_layer(self, given: Sequence[GivenLabel | RefusedLabel]) -> Iterable[GivenLabel | RefusedLabel]:
        """Return the labels of the named dictionary's layer, where a file has labels of several layers."""
        layers = {label.layer for label in given if isinstance(label, GivenLabel)}
        if len(layers) < 2 or self.dictionary is None:
            return given
        row = self._dictionaries[self.dictionary]
        if not layers & {row.layer, row.hookpoint}:
            listed = ", ".join(sorted(layers)[:6])
            raise UsageError(
                f"the file is of the layers {listed}, none of them {row.layer}", "name another --dictionary"
            )
        return [
            label for label in given if isinstance(label, RefusedLabel) or label.layer in (row.layer, row.hookpoint)
        ]

    def _feature_of(self, given: GivenLabel) -> MatchedLabel | RefusedLabel:
        """Return the label with the stored feature that it names, or the reason why it names none."""
        name, colon, index = given.feature.rpartition(":")
        if not colon and self.dictionary is None and index.isdecimal():
            raise UsageError(f"{given.place} has feature {index} of no dictionary", "say which with --dictionary NAME")
        name = name if colon else self.dictionary or ""
        if not index.isdecimal() or len(index) > 9 or not name:
            return RefusedLabel(given.place, f"{given.feature!r} is no feature (write DICTIONARY:INDEX)")
        row = self._dictionaries.get(name)
        if row is None:
            return RefusedLabel(given.place, f"there is no dictionary {name!r} ({nearest(name, self._dictionaries)})")
        if name not in self._feature_ids:
            self._feature_ids[name] = queries.features.ids_by_index(self.session, row.id)
        ids = self._feature_ids[name]
        if int(index) not in ids:
            why = f"they go from 0 to {row.num_latents - 1}" if ids else f"run `autointerp harvest --layer {row.layer}`"
            return RefusedLabel(given.place, f"{name} has no feature {index} ({why})")
        return MatchedLabel(replace(given, feature=f"{name}:{int(index)}"), row, ids[int(index)])

    def _current(self, matched: Sequence[MatchedLabel]) -> dict[int, list[BestLabel]]:
        """Return the current label of every labeler, by feature id."""
        found: dict[int, list[BestLabel]] = {}
        for row in {one.dictionary.id: one.dictionary for one in matched}.values():
            ids = [one.feature_id for one in matched if one.dictionary is row]
            found.update(queries.labels.current(self.session, row.id, feature_ids=dict.fromkeys(ids)))
        return found

    def _author_of(self, one: MatchedLabel, current: Sequence[BestLabel]) -> tuple[LabelAuthor, bool]:
        """Return the author of a label, and whether the author's current label says the same."""
        if self.form in OTHERS:
            author = LabelAuthor(self.form, origin=self.form)
        else:
            kind, _, model = re.sub("#[0-9a-f]{6}$", "", one.given.labeler).partition("@")
            if not kind or kind == queries.labels.HUMAN:
                author = LabelAuthor(queries.labels.HUMAN, model if kind else self.by)
            else:
                ids = labelers_called(self._labelers, one.given.labeler)
                theirs = [best for best in current if best.labeler.id in ids and best.label.status != "failed"]
                if any(_says_same(best, one.given) for best in theirs):
                    # The key has the labeler's whole name, so that two labelers of one model stay apart.
                    return LabelAuthor(kind, one.given.labeler, "labels"), True
                by_person = LabelAuthor(queries.labels.HUMAN, self.by)
                author = by_person if theirs else LabelAuthor(kind, model, "labels")
        columns = (author.kind, author.model, identity(author.config))
        own = [b for b in current if (b.labeler.kind, b.labeler.model, b.labeler.config_hash) == columns]
        return author, any(_says_same(best, one.given) for best in own)


def _says_same(best: BestLabel, given: GivenLabel) -> bool:
    """Return whether a stored label says what a given one says; a missing confidence equals any."""
    label = best.label
    is_as_sure = given.confidence is None or abs(label.confidence - given.confidence) < 1e-9
    return label.status == "ok" and texts_of(label) == (given.name, given.explanation) and is_as_sure


def texts_of(label: Label) -> tuple[str, str]:
    """Return the name and the explanation of a label as a file shows them, cleaned as new labels are."""
    return clean(label.name, NAME), clean(label.explanation, EXPLANATION)
