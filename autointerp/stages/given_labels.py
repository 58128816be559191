"""`labels`: what labelers said, listed and written to files; and labels that people and other tools give, taken in."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from autointerp.db import queries
from autointerp.db.models import Dictionary, Feature, Label
from autointerp.errors import AutointerpError, PartialFailure, UsageError, nearest
from autointerp.labeling.given import OTHERS, GivenLabel, GivenLabeler, Refused, checked, read_labels, write_labels
from autointerp.labeling.protocol import FeatureEvidence, LabelResult
from autointerp.stages.context import Context, identity
from autointerp.stages.index import open_index
from autointerp.stages.labeler_names import chosen_labelers, labeler_names, labelers_called
from autointerp.stages.labelers import labeler_columns
from autointerp.stages.read import find_dictionary
from autointerp.texts import EXPLANATION, NAME, clean

_KIND = 32
"""The most letters of a labeler's kind."""


@dataclass(frozen=True)
class Who:
    """Whose a label is; it makes a labeler."""

    kind: str
    model: str = ""
    origin: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """Never the labeler of that kind here: what it would say of these features is another result."""
        return {"import": self.origin} if self.origin else {}


@dataclass(frozen=True)
class Taken:
    """What came of given labels: how many by dictionary, how many were there already, and what was refused."""

    format: str
    labels: dict[str, int]
    there: int
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class _Meant:
    """A given label with the feature it is of."""

    given: GivenLabel
    dictionary: Dictionary
    feature_id: int

    @property
    def feature(self) -> str:
        return self.given.feature


def import_labels(
    ctx: Context,
    path: Path,
    form: str = "auto",
    dictionary: str | None = None,
    by: str = "",
    skip_bad: bool = False,
    dry_run: bool = False,
) -> Taken:
    """Take in the labels of a file, all of them or none.

    Args:
        ctx: The workspace.
        path: The file, or the folder that some tools write.
        form: Its format, or `auto`.
        dictionary: Whose features bare numbers are.
        by: The person whose labels those are that say nothing else.
        skip_bad: Take the others where some lines are refused.
        dry_run: Only look.

    Raises:
        UsageError: The format, the dictionary, or the layer cannot be told.
        AutointerpError: The file cannot be read, or some of its lines are refused.
    """
    form, found = read_labels(path, form)
    if not found:
        raise AutointerpError(f"{path} holds no labels", "check the path")
    taken = _take(ctx, found, form, dictionary, by, skip_bad, dry_run)
    for one in taken.refused:
        ctx.progress.note(f"{one.place}: {one.reason}")
    if taken.refused and not skip_bad:
        first = taken.refused[0]
        raise AutointerpError(
            f"nothing was taken: {len(taken.refused)} of {len(found)} are refused ({first.place}: {first.reason})",
            "correct them, or take the others with --skip-bad",
        )
    return taken


def skipped(taken: Taken) -> PartialFailure:
    """What `--skip-bad` ends with where something was refused."""
    first = taken.refused[0]
    return PartialFailure(
        f"{len(taken.refused)} were refused ({first.place}: {first.reason})", "correct and import them"
    )


def name_feature(
    ctx: Context, feature: str, name: str, explanation: str = "", by: str = "", dry_run: bool = False
) -> Taken:
    """Give one feature (`DICTIONARY:INDEX`) a person's label.

    Raises:
        UsageError: There is no such feature, or the name cannot be one.
    """
    given = checked("the label", {"feature": feature, "name": name, "explanation": explanation})
    found = _take(ctx, [given], "human", None, by, False, dry_run)
    if found.refused:
        raise UsageError(found.refused[0].reason, "write DICTIONARY:INDEX and a name of a few words")
    return found


def _take(
    ctx: Context,
    found: Sequence[GivenLabel | Refused],
    form: str,
    dictionary: str | None,
    by: str,
    skip_bad: bool,
    dry_run: bool,
) -> Taken:
    """Store what is new, in one transaction, unless something is refused; bring the indexes of labels up to date."""
    by = clean(by, NAME)
    with nullcontext() if dry_run else ctx.workspace.lock():
        with ctx.db.session() as session:
            reader = _Reader(session, ctx, dictionary, by, form)
            new, there, refused = reader.read(found)
            labels = Counter(meant.dictionary.name for _, meant in new)
            rows = {meant.dictionary.name: meant.dictionary for _, meant in new}
            if dry_run or (refused and not skip_bad):
                session.rollback()
                return Taken(form, labels, there, tuple(refused))
            _store(session, new)
            for row in rows.values():
                session.expunge(row)
        if new and ctx.has_text_embedder:
            for row in rows.values():
                open_index(ctx, row, "labels")
    return Taken(form, labels, there, tuple(refused))


class _Reader:
    """Decides of each given label which feature it is of, whose it is, and whether it says anything new."""

    def __init__(self, session: Session, ctx: Context, dictionary: str | None, by: str, form: str) -> None:
        self.session, self.by, self.form = session, by, form
        self.named = None if dictionary is None else ctx.dictionary_named(dictionary).name
        self.labelers = queries.labelers_with_labels(session)
        self.known = {row.name: row for row in queries.all_dictionaries(session)}
        self._features: dict[str, dict[int, int]] = {}

    def read(self, found: Sequence[GivenLabel | Refused]) -> tuple[list[tuple[Who, _Meant]], int, list[Refused]]:
        """What is new, how much is there already, and what is refused, each in the file's order."""
        refused: list[Refused] = []
        meant: list[_Meant] = []
        for one in self._of_one_layer(found):
            found_out = one if isinstance(one, Refused) else self._meant(one)
            if isinstance(found_out, Refused):
                refused.append(found_out)
            else:
                meant.append(found_out)
        now = self._now(meant)
        new: list[tuple[Who, _Meant]] = []
        seen: dict[tuple[int, Who], str] = {}
        there = 0
        for label in meant:
            who, known = self._whose(label, now.get(label.feature_id, []))
            place = label.given.place
            if len(who.kind) > _KIND:
                refused.append(Refused(place, f"its labeler is longer than {_KIND} characters"))
            elif (label.feature_id, who) in seen:
                refused.append(Refused(place, f"{label.feature} is in {seen[label.feature_id, who]} already"))
            else:
                seen[label.feature_id, who] = place
                there += known
                new += [] if known else [(who, label)]
        return new, there, refused

    def _of_one_layer(self, found: Sequence[GivenLabel | Refused]) -> Iterable[GivenLabel | Refused]:
        """Of a file of several layers those of the dictionary's."""
        layers = {one.layer for one in found if isinstance(one, GivenLabel)}
        if len(layers) < 2 or self.named is None:
            return found
        row = self.known[self.named]
        if not layers & {row.layer, row.hookpoint}:
            told = ", ".join(sorted(layers)[:6])
            raise UsageError(f"the file is of the layers {told}, none of them {row.layer}", "name another --dictionary")
        return [one for one in found if isinstance(one, Refused) or one.layer in (row.layer, row.hookpoint)]

    def _meant(self, given: GivenLabel) -> _Meant | Refused:
        name, colon, index = given.feature.rpartition(":")
        if not colon and self.named is None and index.isdecimal():
            raise UsageError(f"{given.place} has feature {index} of no dictionary", "say which with --dictionary NAME")
        name = name if colon else self.named or ""
        if not index.isdecimal() or len(index) > 9 or not name:
            return Refused(given.place, f"{given.feature!r} is no feature (write DICTIONARY:INDEX)")
        row = self.known.get(name)
        if row is None:
            return Refused(given.place, f"there is no dictionary {name!r} ({nearest(name, self.known)})")
        if name not in self._features:
            query = select(Feature.latent_index, Feature.id).where(Feature.dictionary_id == row.id)
            self._features[name] = {latent: feature_id for latent, feature_id in self.session.execute(query)}
        ids = self._features[name]
        if int(index) not in ids:
            why = f"they go from 0 to {row.num_latents - 1}" if ids else f"run `autointerp harvest --layer {row.layer}`"
            return Refused(given.place, f"{name} has no feature {index} ({why})")
        return _Meant(replace(given, feature=f"{name}:{int(index)}"), row, ids[int(index)])

    def _now(self, meant: Sequence[_Meant]) -> dict[int, list[queries.BestLabel]]:
        """Feature id -> what every labeler says of it now."""
        found: dict[int, list[queries.BestLabel]] = {}
        for row in {one.dictionary.id: one.dictionary for one in meant}.values():
            ids = [one.feature_id for one in meant if one.dictionary is row]
            found.update(queries.current_labels(self.session, row.id, feature_ids=dict.fromkeys(ids)))
        return found

    def _whose(self, one: _Meant, now: Sequence[queries.BestLabel]) -> tuple[Who, bool]:
        """Whose a label is, and whether that is what it says already.

        What a labeler here did not say itself is the word of the person who changed it.
        """
        if self.form in OTHERS:
            who = Who(self.form, origin=self.form)
        else:
            kind, _, model = re.sub("#[0-9a-f]{6}$", "", one.given.labeler).partition("@")
            if not kind or kind == queries.HUMAN:
                who = Who(queries.HUMAN, model if kind else self.by)
            else:
                ids = labelers_called(self.labelers, one.given.labeler)
                theirs = [said for said in now if said.labeler.id in ids and said.label.status != "failed"]
                if any(_same(said, one.given) for said in theirs):
                    # By its whole name: labelers of one model say what each of them says.
                    return Who(kind, one.given.labeler, "labels"), True
                who = Who(queries.HUMAN, self.by) if theirs else Who(kind, model, "labels")
        columns = (who.kind, who.model, identity(who.config))
        own = [x for x in now if (x.labeler.kind, x.labeler.model, x.labeler.config_hash) == columns]
        return who, any(_same(said, one.given) for said in own)


def _same(said: queries.BestLabel, given: GivenLabel) -> bool:
    """Whether a label says this; a confidence that is not given is any."""
    label = said.label
    sure = given.confidence is None or abs(label.confidence - given.confidence) < 1e-9
    return label.status == "ok" and _seen(label) == (given.name, given.explanation) and sure


def _seen(label: Label) -> tuple[str, str]:
    """Name and explanation as a file shows them, whatever an older version let in."""
    return clean(label.name, NAME), clean(label.explanation, EXPLANATION)


def _store(session: Session, new: Sequence[tuple[Who, _Meant]]) -> None:
    by_who: dict[Who, list[_Meant]] = {}
    for who, one in new:
        by_who.setdefault(who, []).append(one)
    for who, several in by_who.items():
        labeler = GivenLabeler({one.feature: one.given for one in several}, who.kind, who.model, who.config)
        labeler_id = queries.ensure_labeler(session, labeler.config, **labeler_columns(labeler)).id
        # What a person knows is not in the crops, so none are read.
        features = [FeatureEvidence(one.feature, one.feature_id, 0.0, ()) for one in several]
        rows = [_row(labeler_id, result) for result in labeler.label(features)]
        queries.insert_many(session, Label, rows)


def _row(labeler_id: int, result: LabelResult) -> dict[str, Any]:
    return {
        "feature_id": result.feature_id,
        "labeler_id": labeler_id,
        "status": result.status,
        "name": result.name,
        "explanation": result.explanation,
        "confidence": result.confidence,
        "error": result.error,
    }


def list_labelers(ctx: Context) -> list[dict[str, Any]]:
    """What each labeler said of each dictionary, as `labels list --json` prints it.

    `counting` is how many of its labels are the ones that count; `scores` are means over its labels by method.
    """
    found = []
    with ctx.db.session() as session:
        names = labeler_names(queries.labelers_with_labels(session))
        for row in queries.all_dictionaries(session):
            said = queries.current_labels(session, row.id)
            counting = Counter(
                best.labeler.id for best in queries.best_labels(session, row.id, feature_ids=said).values()
            )
            by_labeler: dict[int, list[queries.BestLabel]] = {}
            for several in said.values():
                for one in several:
                    by_labeler.setdefault(one.labeler.id, []).append(one)
            for labeler_id, labels in sorted(by_labeler.items()):
                statuses = Counter(one.label.status for one in labels)
                labeler = labels[0].labeler
                found.append(
                    {
                        "dictionary": row.name,
                        "labeler": names[labeler_id],
                        "kind": labeler.kind,
                        "model": labeler.model,
                        "base_url": labeler.base_url,
                        "prompt_hash": labeler.prompt_hash,
                        "labels": statuses["ok"],
                        "uninterpretable": statuses["uninterpretable"],
                        "failed": statuses["failed"],
                        "counting": counting[labeler_id],
                        "scores": _means(session, [one.label.id for one in labels]),
                    }
                )
    return found


def _means(session: Session, label_ids: Sequence[int]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for scores in queries.scores_of_labels(session, label_ids).values():
        for score in scores:
            if score.value is not None:
                values.setdefault(score.method, []).append(score.value)
    return {method: round(fmean(values[method]), 4) for method in sorted(values)}


def export_labels(
    ctx: Context, path: Path, layer: str | None = None, dictionary: str | None = None, labeler: str | None = None
) -> int:
    """Write the labels that count (or one labeler's) to a `.csv` or `.jsonl` file; returns how many.

    Raises:
        UsageError: The file is not named as either, or there is no such dictionary or labeler.
        AutointerpError: There are no labels, or the file cannot be written.
    """
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise UsageError(f"{path} is not named as a label file", "write NAME.csv or NAME.jsonl")
    chosen = chosen_labelers(ctx, labeler)
    one = None if layer is None and dictionary is None else find_dictionary(ctx, layer, dictionary).name
    with ctx.db.session() as session:
        names = labeler_names(queries.labelers_with_labels(session))
        labels: list[GivenLabel] = []
        for row in queries.all_dictionaries(session):
            if one is not None and row.name != one:
                continue
            best = queries.best_labels(session, row.id, chosen)
            query = select(Feature.latent_index, Feature.id).where(Feature.dictionary_id == row.id)
            for latent, feature_id in session.execute(query.order_by(Feature.latent_index)):
                if feature_id in best:
                    label, by = best[feature_id].label, names[best[feature_id].labeler.id]
                    texts = (f"{row.name}:{latent}", *_seen(label))
                    labels.append(GivenLabel("", *texts, label.confidence, by))
    if not labels:
        raise AutointerpError("there are no labels to write", "run `autointerp label --layer mid` first")
    partial = path.with_name(path.name + ".part")
    try:
        write_labels(partial, labels, "csv" if path.suffix.lower() == ".csv" else "jsonl")
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise AutointerpError(f"cannot write {path}: {error.strerror or error}", "name another file") from None
    return len(labels)
