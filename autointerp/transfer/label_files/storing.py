"""Storing given labels: all labels of a file in one transaction, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.db.models import Label
from autointerp.errors import AutointerpError, PartialFailure, UsageError
from autointerp.labeling.labelers.given import GivenLabel, GivenLabeler, RefusedLabel, checked
from autointerp.labeling.labelers.label_files import read_labels
from autointerp.labeling.protocol import FeatureEvidence
from autointerp.project.labelers import labeler_key
from autointerp.stages.index.opening import open_index
from autointerp.texts import NAME, clean
from autointerp.transfer.label_files.matching import LabelAuthor, LabelMatcher, MatchedLabel

if TYPE_CHECKING:
    from autointerp.db import Session
    from autointerp.project.context import Context


@dataclass(frozen=True)
class LabelImportRequest:
    """The user's options of a label import.

    Attributes:
        form: The format of the file, or `auto`.
        dictionary: The dictionary that features given by a number alone belong to.
        by: The person whose labels name no labeler.
        skip_bad: True stores the other labels where some are refused.
        dry_run: True stores nothing.
        update_index: False leaves the index of labels as it is: the next search brings it up to date.
    """

    form: str = "auto"
    dictionary: str | None = None
    by: str = ""
    skip_bad: bool = False
    dry_run: bool = False
    update_index: bool = True


@dataclass(frozen=True)
class LabelImportResult:
    """What became of given labels.

    Attributes:
        format: The format of the file.
        stored: Dictionary -> number of labels that were stored, or would be.
        known: How many labels were stored already.
        refused: Labels that could not be stored, with the reasons.
    """

    format: str
    stored: Mapping[str, int]
    known: int
    refused: tuple[RefusedLabel, ...]

    def skipped(self) -> PartialFailure:
        """Return the error that an import with `--skip-bad` ends with, where labels were refused."""
        first = self.refused[0]
        return PartialFailure(
            f"{len(self.refused)} were refused ({first.place}: {first.reason})", "correct and import them"
        )


def import_labels(ctx: Context, path: Path, request: LabelImportRequest) -> LabelImportResult:
    """Store the labels of a file, or of the folder that some tools write.

    Raises:
        UsageError: The format, the dictionary, or the layer cannot be told.
        AutointerpError: The file cannot be read, or labels are refused and not to be skipped.
    """
    form, given = read_labels(path, request.form)
    if not given:
        raise AutointerpError(f"{path} holds no labels", "check the path")
    result = _store_all(ctx, form, given, request)
    for refused in result.refused:
        ctx.progress.note(f"{refused.place}: {refused.reason}")
    if result.refused and not request.skip_bad:
        first = result.refused[0]
        raise AutointerpError(
            f"nothing was taken: {len(result.refused)} of {len(given)} are refused ({first.place}: {first.reason})",
            "correct them, or take the others with --skip-bad",
        )
    return result


@dataclass(frozen=True)
class HandLabel:
    """The label that a person gives to one feature, `DICTIONARY:INDEX`."""

    feature: str
    name: str
    explanation: str = ""
    by: str = ""


def name_feature(ctx: Context, label: HandLabel, dry_run: bool = False, update_index: bool = True) -> LabelImportResult:
    """Store a person's label of one feature.

    Raises:
        UsageError: The feature does not exist, or the name cannot be one.
    """
    values = {"feature": label.feature, "name": label.name, "explanation": label.explanation}
    given = checked("the label", values)
    request = LabelImportRequest(by=label.by, dry_run=dry_run, update_index=update_index)
    result = _store_all(ctx, queries.labels.HUMAN, [given], request)
    if result.refused:
        raise UsageError(result.refused[0].reason, "write DICTIONARY:INDEX and a name of a few words")
    return result


def _store_all(
    ctx: Context, form: str, given: Sequence[GivenLabel | RefusedLabel], request: LabelImportRequest
) -> LabelImportResult:
    """Store the labels that are new, unless one is refused and not to be skipped, and update the indexes of labels."""
    dictionary = None if request.dictionary is None else ctx.dictionary_named(request.dictionary).name
    with nullcontext() if request.dry_run else ctx.workspace.lock():
        with ctx.db.session() as session:
            matches = LabelMatcher(session, form, dictionary, clean(request.by, NAME)).match(given)
            stored = Counter(matched.dictionary.name for _, matched in matches.new)
            result = LabelImportResult(form, stored, matches.known, tuple(matches.refused))
            if request.dry_run or (matches.refused and not request.skip_bad):
                session.rollback()
                return result
            _store(session, matches.new)
            rows = {matched.dictionary.name: matched.dictionary for _, matched in matches.new}
            for row in rows.values():
                session.expunge(row)
        if rows and request.update_index and ctx.has_text_embedder:
            for row in rows.values():
                open_index(ctx, row, "labels")
    return result


def _store(session: Session, labels: Sequence[tuple[LabelAuthor, MatchedLabel]]) -> None:
    """Store labels, each under the labeler of its author."""
    by_author: dict[LabelAuthor, list[MatchedLabel]] = {}
    for author, matched in labels:
        by_author.setdefault(author, []).append(matched)
    for author, several in by_author.items():
        given = {matched.given.feature: matched.given for matched in several}
        labeler = GivenLabeler(given, author.kind, author.model, author.config)
        labeler_id = queries.labelers.ensure(session, labeler_key(labeler), labeler.config).id
        # The labels are given, so no crops are read as evidence.
        features = [FeatureEvidence(matched.given.feature, matched.feature_id, 0.0, ()) for matched in several]
        rows = [
            {
                "feature_id": result.feature_id,
                "labeler_id": labeler_id,
                "status": result.status,
                "name": result.name,
                "explanation": result.explanation,
                "confidence": result.confidence,
                "error": result.error,
            }
            for result in labeler.label(features)
        ]
        queries.bulk.insert_many(session, Label, rows)
