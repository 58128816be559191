"""What the pass over features of one name reaches with exact eyes, on a workspace of a shapes model.

Exact eyes read the truth of shown cells and follow a rule, as in `benchmarks.evidence`. They name every feature. Then
the pass of `label` is run as it is: it finds features of one name, shows cells of each and of its namesakes, and stores
the answers. Exact eyes answer with the concept of the finer list that is more frequent in the feature's cells than in
those of its namesakes, and take for the same those that it does not tell it from. The judge of new names is `reader`.
All of it is done in a copy of the workspace.

With `--judged N` features keep the names by shapes-vlm, and are told apart as it tells them: by a judge's answers about
the best N phrases by the embedder. The judge has exact eyes.

    python -m benchmarks.apart WORKSPACE --layer mid
    python -m benchmarks.apart WORKSPACE --judged 12 --where
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Label
from autointerp.db.queries.labelers import LabelerKey
from autointerp.labeling.judging.gain import Gain
from autointerp.labeling.labelers.apart import OTHER_CELLS, OWN_CELLS, Difference, NamedAlike, Teller
from autointerp.labeling.labelers.apart_judged import JudgedOptions, JudgedTeller, PhraseRanking, proposals
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, Judge
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.concepts import concept_masks
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.fine_concepts import fine_masks
from autointerp.shapes.label_verdict import relation
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.vlm import NAME as SHAPES_VLM
from benchmarks.evidence import ReadWorld, maps

NAMED = "exact eyes"
AGREE, PICTURES = 0.75, 20
"""The rule by which features are named, see `benchmarks.evidence`."""
SURE, LEAST_GAP, TRIED, ADDED = 0.9, 0.1, 12, 2
"""For a name: the least share of the feature's shown cells in which it holds, as a rule above what the judge asks for;
the least mean gap to the namesakes; how many concepts are tried, and how many a name may gain."""
CLEAR = 0.3
"""How much more frequent a difference must be in the feature's shown cells than in those of a namesake."""
WHERE: tuple[str, ...] = (
    *(f"{side} side of objects" for side in ("left", "right", "top", "bottom")),
    *(f"{side} objects" for side in ("left of", "right of", "above", "below", "outside of")),
    "edge of the picture",
)
"""Where a cell may lie, at an object and in the picture, which no name and no prompt says."""


@dataclass(frozen=True)
class Shown:
    """How many pictures a request has, of the feature and of each namesake; and what a name may gain.

    `sure` is the least share of the feature's shown cells in which a name holds. With `finer`, features are named by
    the finer list before the pass. With `judged`, so many phrases are verified by a judge, and with `where` also where
    at an object a cell lies.
    """

    own: int = OWN_CELLS
    other: int = OTHER_CELLS
    sure: float = SURE
    finer: bool = False
    judged: int = 0
    where: bool = False


class ExactTeller:
    """Tells features apart as a VLM does, by the truth of the shown cells.

    Args:
        images: Ids of the pictures of the explain split.
        read: What is true in their cells.
        shown: How many pictures it looks at.
    """

    stopped = ""

    def __init__(self, images: Sequence[int], read: dict[str, np.ndarray], shown: Shown) -> None:
        self.concepts, self._masks = fine_masks(read)
        self._at = {image: n for n, image in enumerate(images)}
        self._atoms, self._shown = Atoms.of_cells(read), shown
        self.cells = max(shown.own, shown.other)

    def tell(self, groups: Iterable[NamedAlike]) -> Iterator[Difference]:
        """See `DifferenceTeller`."""
        for group in groups:
            yield self._tell(group)

    def _tell(self, group: NamedAlike) -> Difference:
        feature_id = group.feature.feature_id
        own = self._held(group.feature, self._shown.own)
        others = np.array([self._held(other, self._shown.other) for other in group.others])
        gaps = own - others
        # What tells the feature from more namesakes is worth more, however clearly it tells it from one.
        worth = np.clip(gaps, 0, 2 * CLEAR).mean(0) + 1e-3 * own
        best = int(worth.argmax())
        apart = tuple(np.flatnonzero(gaps[:, best] >= CLEAR).tolist())
        same = tuple(place for place in range(len(others)) if place not in apart)
        if not apart:
            return Difference(feature_id, "same", same_as=same)
        name = group.name
        for _ in range(ADDED):
            name = self._narrower(name, group.feature, own, gaps.mean(0))
        return Difference(feature_id, "told", self.concepts[best].name, "" if name == group.name else name, apart, same)

    def _held(self, feature: FeatureEvidence, most: int) -> np.ndarray:
        """Return how often each concept holds in the shown cells of a feature, float64 [concepts]."""
        return self._shares(feature, most, self._masks)

    def _shares(self, feature: FeatureEvidence, most: int, masks: np.ndarray) -> np.ndarray:
        """Return the shares of the shown cells in which masks hold; they are bool [n, images, rows, cols]."""
        seen: list[tuple[CropEvidence, np.ndarray]] = maps(feature, most)
        if not seen:
            return np.zeros(len(masks))
        return np.asarray(np.mean([masks[:, self._at[crop.image_id], on].mean(1) for crop, on in seen], 0))

    def _narrower(self, name: str, feature: FeatureEvidence, own: np.ndarray, gap: np.ndarray) -> str:
        """Return a name that says a concept more, by which the feature differs from its namesakes; else the name."""
        likely = np.flatnonzero((own >= self._shown.sure) & (gap >= LEAST_GAP))
        for at in likely[np.argsort(-gap[likely], kind="stable")][:TRIED].tolist():
            text = self._joined(name, self.concepts[at].name)
            if (
                text
                and self._shares(feature, self._shown.own, self._atoms.extension(text).holds[None])[0]
                >= self._shown.sure
            ):
                return text
        return name

    def _joined(self, name: str, said: str) -> str:
        """Return a name that says both; empty where the words do not join, or nothing is said that is new."""
        before, only = (self._atoms.extension(one).holds for one in (name, said))
        how = relation(only, before)
        if how == "too narrow":
            return said
        both = self._atoms.extension(f"{name} {said}")
        joins = not both.problem and np.array_equal(both.holds, before & only)
        return f"{name} {said}" if joins and relation(both.holds, before) == "too narrow" else ""


def name_all(ctx: Context, row: DictionaryRow, reader: EvidenceReader, finer: bool) -> list[int]:
    """Name the live features with exact eyes; return the ids of the labels, in the order of the latents."""
    with ctx.db.session() as session:
        rows = sorted(queries.features.of_dictionary(session, row.id, "live"), key=lambda one: one.latent_index)
        session.expunge_all()
    world = ReadWorld.of(ctx, reader, fine_masks if finer else concept_masks)
    names = {one.feature_id: world.named(maps(one, PICTURES), AGREE) for one in reader.stream(rows, PICTURES)}
    with ctx.db.session() as session:
        labeler = queries.labelers.ensure(session, LabelerKey("control", NAMED), {}).id
        labels = [
            Label(
                feature_id=one.id, labeler_id=labeler, status="ok", name=names[one.id], explanation=names[one.id] + "."
            )
            for one in rows
            if names[one.id]
        ]
        for label in labels:
            queries.labels.store(session, label)
        session.flush()
        return [label.id for label in labels]


def names_by(ctx: Context, row: DictionaryRow, kind: str) -> dict[int, str]:
    """Return the names that a kind of labeler gave, by the ids of the labels."""
    with ctx.db.session() as session:
        said = chain.from_iterable(queries.labels.current(session, row.id).values())
        return {one.label.id: one.label.name for one in said if one.labeler.kind == kind and one.label.status == "ok"}


def exact_teller(ctx: Context, row: DictionaryRow, shown: Shown) -> Teller:
    """Return what tells features apart by the truth of shown cells."""
    reader = EvidenceReader(ctx.db, row)
    with ctx.db.session() as session:
        ids = queries.crops.image_ids(session, row.id, "explain")
    pictures = reader.pictures(ids)
    return ExactTeller(ids, Oracle.load().read([pictures[image].picture for image in ids]), shown)


def judged_teller(ctx: Context, row: DictionaryRow, names: Iterable[str], judge: Judge, shown: Shown) -> Teller:
    """Return what tells features apart as shapes-vlm does, by another judge."""
    ranking = PhraseRanking(proposals(list(names), EvidenceReader(ctx.db, row).context(0).prompts), ctx.windows)
    closely, where = (shown.own, shown.other), WHERE if shown.where else ()
    return JudgedTeller(judge, ranking, JudgedOptions(ranked=shown.judged, where=where, closely=closely))


def pass_with(ctx: Context, row: DictionaryRow, shown: Shown) -> str:
    """Name features, run the pass over features of one name, and return the labeler."""
    from autointerp.shapes.reader import ReaderJudge
    from autointerp.stages.label.apart import apart_tasks, note_single, run_apart

    question = Gain().question
    assert question is not None
    judge: Any = ReaderJudge(question)
    if shown.judged:
        names = names_by(ctx, row, SHAPES_VLM)
        labels, labeler = list(names), SHAPES_VLM
        teller = judged_teller(ctx, row, names.values(), judge, shown)
    else:
        labels = name_all(ctx, row, EvidenceReader(ctx.db, row), shown.finer)
        labeler, teller = f"control@{NAMED}", exact_teller(ctx, row, shown)
    tasks = apart_tasks(ctx, row, labels)
    note_single(ctx, tasks)
    run_apart(ctx, row, teller, judge, [task for task in tasks if task.namesakes])
    return labeler


def measured(workspace: Path, layer: str, dictionary: str | None, shown: Shown) -> dict[str, Any]:
    """Return the figures of `evaluate` after the pass, made in a copy of a workspace."""
    from autointerp.project.targets import find_dictionary, resolve_target
    from autointerp.stages.evaluate.evaluating import run_evaluate

    with TemporaryDirectory() as folder:
        copy = Path(folder) / "workspace"
        shutil.copytree(workspace, copy)
        ctx = Context(WorkspaceFolder.open(copy))
        target = resolve_target(ctx, layer, dictionary)
        row = find_dictionary(ctx, target)
        _, (report,) = run_evaluate(ctx, [target], labeler=pass_with(ctx, row, shown))
        return report.as_dict()


def line(shown: Shown, figures: dict[str, Any]) -> str:
    """Return a row of the table."""
    apart, ends = figures["apart"], figures["intervals"]

    def span(key: str, factor: float = 100) -> str:
        return "" if ends[key] is None else f" ({factor * ends[key][0]:.0f} to {factor * ends[key][1]:.0f})"

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    return (
        f"| {shown.own} and {shown.other} | {apart['distinct_before']} | {figures['distinct_names']} "
        f"| {apart['distinct_extensions']}{span('distinct_extensions', 1)} "
        f"| {share(figures['told_apart'])}{span('told_apart')} of {apart['pairs']} "
        f"| {share(figures['controls']['shuffled']['told_apart'])} | {share(apart['differ'])} "
        f"| {share(apart['duplicates_recognised'])}{span('duplicates_recognised')} of {apart['duplicates']} "
        f"| {share(apart['mistaken'])} | {share(apart['stated_hold'])} of {apart['stated']} |"
    )


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path, exists=True))
@click.option("--layer", default="mid", show_default=True)
@click.option("--dictionary", help="By name.  [default: the layer's newest]")
@click.option(
    "--shown",
    "counts",
    multiple=True,
    type=(int, int),
    default=((OWN_CELLS, OTHER_CELLS), (10, 5), (20, 20)),
    help="Pictures of the feature and of each namesake; repeatable.",
)
@click.option("--finer", is_flag=True, help="Name features by the finer list before the pass.")
@click.option(
    "--judged",
    type=click.IntRange(min=0),
    default=0,
    help="Phrases that a judge verifies, of features named by shapes-vlm.",
)
@click.option("--where", is_flag=True, help="With --judged, ask about each feature where at an object its cells lie.")
@click.option("--sure", default=SURE, show_default=True, help="Share of the shown cells in which a name must hold.")
def main(
    workspace: Path, layer: str, dictionary: str | None, counts: tuple[tuple[int, int], ...], **rules: Any
) -> None:
    """Print what the pass reaches with exact eyes."""
    click.echo(
        "| pictures | names before | after | extensions of names that hold | pairs told apart | shuffled "
        "| some concept does | duplicates recognised | others said to be "
        "| differences that hold |\n" + "|---" * 10 + "|"
    )
    for own, other in counts:
        shown = Shown(own, other, **rules)
        click.echo(line(shown, measured(workspace, layer, dictionary, shown)))


if __name__ == "__main__":
    main()
