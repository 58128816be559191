"""Stage `label`: live features get a label of a labeler; each label is stored as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Feature, Label
from autointerp.errors import AutointerpError, PartialFailure, UsageError
from autointerp.labeling.asking.answers import CUT_OFF
from autointerp.labeling.protocol import FeatureEvidence, Labeler, LabelResult
from autointerp.progress import Progress
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.labelers import LabelerRequest, labeler_key
from autointerp.project.schedule import part_of

_FEATURES_AT_ONCE = 64
"""Features whose evidence is in memory at a time, for labelers that take several at once."""
LEAST_SHOWN = 2
"""Images of each split in which a feature must fire, or there is too little to name it by and to score the name on."""
_FIRST_NAMES = 5
"""How many names are shown while the work goes on."""


@dataclass(frozen=True)
class LabelRequest:
    """Which features to label.

    Attributes:
        labeler: The labeler.
        count: Only the first `count` live features; None for all.
        latents: Only these latents, where there are any.
        retry_failed: Whether features whose labels failed are labeled again.
        force: Whether features that have a label are labeled again.
    """

    labeler: LabelerRequest = field(default_factory=LabelerRequest)
    count: int | None = None
    latents: tuple[int, ...] = ()
    retry_failed: bool = False
    force: bool = False


def wanted_features(ctx: Context, dictionary: DictionaryRow, request: LabelRequest) -> list[Feature]:
    """Return the live features that a request means, in their fixed order.

    Raises:
        UsageError: A latent of the request does not exist, or has no crops because it never fired.
    """
    with ctx.db.session() as session:
        live = queries.features.of_dictionary(session, dictionary.id, state="live")
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


def rare_features(ctx: Context, dictionary: DictionaryRow) -> set[int]:
    """Return the ids of the live features that fired in too few images for a name that can be scored."""
    with ctx.db.session() as session:
        live = set(queries.features.ids_in_state(session, dictionary.id, "live"))
        return live - queries.crops.shown_often(session, dictionary.id, LEAST_SHOWN)


def pending(ctx: Context, dictionary: DictionaryRow, labeler: Labeler, request: LabelRequest) -> list[Feature]:
    """Return those of the wanted features that the labeler has not labeled yet.

    A labeler that asks a model is not asked about rare features, unless these were wanted by their numbers.
    """
    wanted = wanted_features(ctx, dictionary, request)
    if labeler.asker is not None and not request.latents:
        rare = rare_features(ctx, dictionary)
        wanted = [row for row in wanted if row.id not in rare]
    if request.force:
        return wanted
    with ctx.db.session() as session:
        # A dry run stores no labeler, so a new labeler may have no row yet.
        labeler_id = queries.labelers.find(session, labeler_key(labeler))
        if labeler_id is None:
            return wanted
        missing = queries.labels.features_without(
            session, dictionary.id, labeler_id, [row.id for row in wanted], request.retry_failed
        )
        for row in missing:
            session.expunge(row)
        return missing


def run_label(
    ctx: Context, dictionary: DictionaryRow, labeler: Labeler, features: list[Feature], done: set[int] | None = None
) -> int:
    """Label features; return how many were named or found uninterpretable.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary of the features.
        labeler: The labeler.
        features: The features.
        done: Receives the id of each feature whose label is stored. A feature that waits for its batch is left out.

    Raises:
        PartialFailure: Some features failed, or a budget ended the work; finished work is kept.
    """
    if not features:
        return 0
    with part_of(ctx.progress, "label"):
        named, failed = _label_all(ctx, dictionary, labeler, features, done)
    if labeler.stopped:
        raise PartialFailure(f"{named} of {len(features)} features labeled: {labeler.stopped}", "run it again to go on")
    if failed:
        first = ", ".join(str(index) for index, _ in failed[:8]) + (", ..." if len(failed) > 8 else "")
        cut = any(error.startswith(CUT_OFF) for _, error in failed)
        raise PartialFailure(
            f"{len(failed)} of {len(features)} features failed ({first}): {failed[0][1]}",
            "run it again with --retry-failed" + (" and a higher --max-tokens (setting max_tokens)" if cut else ""),
        )
    return named


def _label_all(
    ctx: Context, dictionary: DictionaryRow, labeler: Labeler, features: list[Feature], done: set[int] | None
) -> tuple[int, list[tuple[int, str]]]:
    """Label features; return how many have an answer, and the latent and the error of each that failed."""
    with ctx.db.session() as session:
        labeler_id = queries.labelers.ensure(session, labeler_key(labeler), labeler.config).id
    # A labeler that asks a model is shown pictures alone.
    reader = EvidenceReader(ctx.db, dictionary, None if labeler.asker is not None else _seen_prompts(ctx))
    if labeler.cells:
        reader.cells.note_missing(ctx.progress)
    ctx.progress.note(f"labeler {labeler.kind} looks at the layer")
    labeler.prepare(reader.context())
    failed: list[tuple[int, str]] = []
    named, first = 0, FirstNames(dictionary.name, ctx.progress)
    index_of = {row.id: row.latent_index for row in features}
    with ctx.progress.task(f"label {dictionary.name}", len(features), unit="feature") as bar:
        for shown in _shown(reader, labeler, features):
            for result in labeler.label(shown):
                if result.status == "waiting":
                    continue
                _keep(ctx, labeler_id, result)
                if done is not None:
                    done.add(result.feature_id)
                if result.status == "failed":
                    failed.append((index_of[result.feature_id], result.error))
                else:
                    named += 1
                first.show(index_of[result.feature_id], result)
                bar.advance(1, result.name[:40])
            if labeler.stopped:
                break
    return named, failed


class FirstNames:
    """Notes the first few names, each another one, as soon as they are known: a look at what the rest will be.

    Args:
        dictionary: Name of the dictionary.
        progress: Where the names are shown.
    """

    def __init__(self, dictionary: str, progress: Progress) -> None:
        self._dictionary, self._progress = dictionary, progress
        self._shown = set[str]()

    def show(self, latent: int, result: LabelResult) -> None:
        """Note a feature's name, if it is one of the first few."""
        if result.status == "ok" and len(self._shown) < _FIRST_NAMES and result.name not in self._shown:
            self._shown.add(result.name)
            self._progress.note(f"  named  {self._dictionary}:{latent}  {result.name}  ({result.explanation})")


def _seen_prompts(ctx: Context) -> Callable[[str], str]:
    """Return what cuts a prompt as the model does. Without the model's tokenizers prompts stay whole, with a note."""
    missing: list[str] = []

    def seen(prompt: str) -> str:
        if not missing:
            try:
                return ctx.seen_text.of(prompt)
            except AutointerpError as error:
                missing.append(error.message)
                ctx.progress.note(f"prompts are read whole, though the model may have cut them: {error.message}")
        return prompt

    return seen


def _shown(reader: EvidenceReader, labeler: Labeler, features: list[Feature]) -> Iterator[Iterable[FeatureEvidence]]:
    """Yield the evidence of some features at a time, or one stream of all where the labeler takes one by one."""
    if labeler.streams:
        yield reader.stream(features, labeler.cells)
        return
    for start in range(0, len(features), _FEATURES_AT_ONCE):
        yield reader.features(features[start : start + _FEATURES_AT_ONCE], labeler.cells)


def _keep(ctx: Context, labeler_id: int, result: LabelResult) -> None:
    """Store one answer, in place of the labeler's earlier failures for the feature."""
    assert result.status != "waiting"
    with ctx.db.session() as session:
        label = Label(
            feature_id=result.feature_id,
            labeler_id=labeler_id,
            status=result.status,
            name=result.name,
            explanation=result.explanation,
            confidence=result.confidence,
            error=result.error,
        )
        queries.labels.store(session, label)
