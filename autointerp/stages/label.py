"""Stage `label`: every live feature without a label of this labeler gets one; each is kept as soon as it is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select

from autointerp.db import queries
from autointerp.db.models import Dictionary, Feature, Label, Labeler as LabelerRow
from autointerp.errors import PartialFailure, UsageError
from autointerp.labeling.chat import WAITS_FOR_BATCH
from autointerp.labeling.protocol import Labeler, LabelResult
from autointerp.stages.context import Context
from autointerp.stages.evidence import EvidenceReader
from autointerp.stages.labelers import LabelerRequest, labeler_columns

_FEATURES_AT_ONCE = 64


@dataclass(frozen=True)
class LabelRequest:
    """What to label: the first `count` live features, or the named latents, or all; and what to do again."""

    labeler: LabelerRequest = field(default_factory=LabelerRequest)
    count: int | None = None
    latents: tuple[int, ...] = ()
    retry_failed: bool = False
    force: bool = False


def wanted_features(ctx: Context, dictionary: Dictionary, request: LabelRequest) -> list[Feature]:
    """The live features a request means, in their fixed order.

    Raises:
        UsageError: A named latent does not exist, or has no crops because it never fired.
    """
    with ctx.db.session() as session:
        live = queries.features(session, dictionary.id, state="live")
        for row in live:
            session.expunge(row)
    if not request.latents:
        return live if request.count is None else live[: request.count]
    by_index = {row.latent_index: row for row in live}
    for latent in request.latents:
        if not 0 <= latent < dictionary.num_latents:
            raise UsageError(
                f"{dictionary.name} has no feature {latent}", f"features go from 0 to {dictionary.num_latents - 1}"
            )
        if latent not in by_index:
            raise UsageError(f"feature {dictionary.name}:{latent} is not live", "it has nothing to be named from")
    return [by_index[latent] for latent in dict.fromkeys(request.latents)]


def pending(ctx: Context, dictionary: Dictionary, labeler: Labeler, request: LabelRequest) -> list[Feature]:
    """Those of the wanted features that this labeler has still to name."""
    wanted = wanted_features(ctx, dictionary, request)
    if request.force:
        return wanted
    with ctx.db.session() as session:
        # Asked by dry runs too, so a labeler that is new here is not written down yet.
        labeler_id = session.scalar(select(LabelerRow.id).filter_by(**labeler_columns(labeler)))
        if labeler_id is None:
            return wanted
        missing = queries.features_without_label(
            session, dictionary.id, labeler_id, [row.id for row in wanted], request.retry_failed
        )
        for row in missing:
            session.expunge(row)
        return missing


def run_label(
    ctx: Context, dictionary: Dictionary, labeler: Labeler, features: list[Feature], done: set[int] | None = None
) -> int:
    """Name features; returns how many were named or found uninterpretable.

    The ids of those that are kept go into `done`; one whose answer waits for its batch is none of them.

    Raises:
        PartialFailure: Some failed, or a budget ended the work; what is done is kept.
    """
    if not features:
        return 0
    with ctx.db.session() as session:
        labeler_id = queries.ensure_labeler(session, labeler.config, **labeler_columns(labeler)).id
    reader = EvidenceReader(ctx.db, dictionary)
    ctx.progress.note(f"labeler {labeler.kind} looks at the layer")
    labeler.prepare(reader.context())
    failed: list[tuple[int, str]] = []
    named = 0
    index_of = {row.id: row.latent_index for row in features}
    with ctx.progress.task(f"label {dictionary.name}", len(features), unit="feature") as bar:
        for shown in _shown(reader, labeler, features):
            for result in labeler.label(shown):
                if result.error == WAITS_FOR_BATCH:
                    continue
                _keep(ctx, labeler_id, result)
                if done is not None:
                    done.add(result.feature_id)
                if result.status == "failed":
                    failed.append((index_of[result.feature_id], result.error))
                else:
                    named += 1
                bar.advance(1, result.name[:40])
            if getattr(labeler, "stopped", ""):
                break
    stopped = getattr(labeler, "stopped", "")
    if stopped:
        raise PartialFailure(f"{named} of {len(features)} features labeled: {stopped}", "run it again to go on")
    if failed:
        first = ", ".join(str(index) for index, _ in failed[:8]) + (", ..." if len(failed) > 8 else "")
        raise PartialFailure(
            f"{len(failed)} of {len(features)} features failed ({first}): {failed[0][1]}",
            "run it again with --retry-failed",
        )
    return named


def _shown(reader: EvidenceReader, labeler: Labeler, features: list[Feature]) -> Iterator[Any]:
    """What a labeler is given at once: some features, or all where it takes them one by one."""
    if getattr(labeler, "streams", False):
        yield reader.stream(features)
        return
    for start in range(0, len(features), _FEATURES_AT_ONCE):
        yield reader.features(features[start : start + _FEATURES_AT_ONCE])


def _keep(ctx: Context, labeler_id: int, result: LabelResult) -> None:
    """Store one answer; it takes the place of this labeler's earlier failures for the feature."""
    with ctx.db.session() as session:
        session.execute(
            delete(Label).where(
                Label.feature_id == result.feature_id, Label.labeler_id == labeler_id, Label.status == "failed"
            )
        )
        session.add(
            Label(
                feature_id=result.feature_id,
                labeler_id=labeler_id,
                status=result.status,
                name=result.name,
                explanation=result.explanation,
                confidence=result.confidence,
                error=result.error,
            )
        )
