"""How well scores tell right labels from wrong ones, on a workspace of a shapes model.

A label is right if its name is exact (`autointerp.shapes.label_verdict`): it holds in the very cells in which the
feature's truth holds, in the pictures that the workspace keeps. The figure is the AUROC of right against wrong labels,
with a bootstrap's interval over labels. Truths are those that `evaluate --images N` found, or they are found first.

The labels are those of a file, so that better labels do not move the mark, or those of the workspace. `gain` is asked
of exact eyes and of shapes-vlm, with at most so many questions a label. Where the eyes give probabilities, their
answers are also counted in other ways, see `WAYS`. Two controls stand beside: the AUROC within pairs of one name, and
what a score of names alone could reach. The workspace's stored scores of its own labels stand below.

    python -m benchmarks.right_labels WORKSPACE --layer mid
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np

from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.errors import UsageError
from autointerp.labeling.judging.gain import Gain
from autointerp.labeling.judging.intervals import auroc, auroc_interval
from autointerp.labeling.judging.methods import Limits
from autointerp.labeling.protocol import BaseRate
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.targets import Target, find_dictionary
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.label_verdict import relation
from autointerp.shapes.oracle import Oracle
from autointerp.stages.evaluate.evaluating import truths_of
from benchmarks.eyes import Asked, ExactEyes, Eyes, VlmEyes

NOVEMBER = Path(__file__).parent / "labels_of_november.jsonl"
"""Labels by shapes-vlm on the workspace that `make demo` made in November 2026."""
AT_ONCE = 64
"""Features that are read at a time."""


@dataclass(frozen=True)
class AnsweredLabel:
    """The answers on a label's cells, and on random cells of the layer: probabilities of yes, float64 [n]."""

    name: str
    active: np.ndarray
    base: np.ndarray


def otsu(values: np.ndarray) -> float:
    """Return the threshold that parts values into two groups that differ most (Otsu 1979)."""
    ordered = np.sort(values)
    below = np.cumsum(ordered)[:-1]
    count = np.arange(1, len(ordered))
    left, right = below / count, (ordered.sum() - below) / (len(ordered) - count)
    best = int((count * (len(ordered) - count) * (left - right) ** 2).argmax())
    return float(ordered[best : best + 2].mean())


def logits(shares: np.ndarray) -> np.ndarray:
    """Return the logits of probabilities."""
    kept = np.clip(shares, 1e-4, 1 - 1e-4)
    return np.log(kept / (1 - kept))


def soft(labels: Sequence[AnsweredLabel]) -> list[float]:
    """The difference of mean probabilities, in place of shares of yes."""
    return [float(one.active.mean() - one.base.mean()) for one in labels]


def ranked(labels: Sequence[AnsweredLabel]) -> list[float]:
    """The probability that yes is likelier in an active cell than in a random one."""
    return [auroc(one.active, one.base) for one in labels]


def calibrated(labels: Sequence[AnsweredLabel]) -> list[float]:
    """Shares of yes, where each name has a threshold of its own, which parts all answers on it."""
    by_name: dict[str, list[AnsweredLabel]] = {}
    for one in labels:
        by_name.setdefault(one.name, []).append(one)
    limits = {
        name: otsu(logits(np.concatenate([some[0].base, *(one.active for one in some)])))
        for name, some in by_name.items()
    }
    return [
        float((logits(one.active) > limits[one.name]).mean() - (logits(one.base) > limits[one.name]).mean())
        for one in labels
    ]


WAYS: dict[str, Callable[[Sequence[AnsweredLabel]], list[float]]] = {
    "probabilities": soft,
    "ranks": ranked,
    "a threshold a name": calibrated,
}
"""Other ways to count answers that are probabilities; all questions are asked."""


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path, exists=True))
@click.option("--layer", default="mid", show_default=True)
@click.option("--labels", default=str(NOVEMBER), help="JSON lines of labels; `own` for those of the workspace.")
@click.option("--images", default=1000, show_default=True, help="Held-out images that truths are found on.")
@click.option("--questions", multiple=True, type=int, default=(20, 100), help="Questions a label, at most; repeatable.")
@click.option("--eyes", "wanted", multiple=True, default=("exact", "vlm"), help="exact or vlm; repeatable.")
@click.option("--kept", type=click.Path(path_type=Path), help="File of shapes-vlm's answers, read and added to.")
def main(
    workspace: Path,
    layer: str,
    labels: str,
    images: int,
    questions: tuple[int, ...],
    wanted: tuple[str, ...],
    kept: Path | None,
) -> None:
    """Print a line for each score, judge and number of questions."""
    ctx = Context(WorkspaceFolder.open(workspace), evaluate_images=images)
    row = find_dictionary(ctx, Target(layer))
    is_right = rightness(ctx, row)
    named = own_labels(ctx, row) if labels == "own" else read_labels(Path(labels), row)
    for eyes in wanted:
        judge: Eyes = ExactEyes() if eyes == "exact" else VlmEyes(kept)
        for most in questions:
            for line in gain_lines(ctx, row, named, is_right, judge, Limits(most, ctx.settings.gain.cells)):
                click.echo(line)
    click.echo(names_line(named, is_right))
    for line in stored_lines(ctx, row, is_right):
        click.echo(line)


def rightness(ctx: Context, row: DictionaryRow) -> Callable[[int, str], bool]:
    """Return what says whether a name of a latent is exact."""
    truths, reader = truths_of(ctx, row), EvidenceReader(ctx.db, row)
    with ctx.db.session() as session:
        images = queries.crops.image_ids(session, row.id, "score")
    read = Oracle.load().read([crop.picture for crop in reader.pictures(images).values()])
    extension = cache(Atoms.of_cells(read).extension)

    @cache
    def is_right(latent: int, name: str) -> bool:
        truth = truths[latent]
        if truth is None:
            return False
        return relation(extension(name).holds, extension(truth.concept.name).holds) == "exact"

    return is_right


def read_labels(file: Path, row: DictionaryRow) -> dict[int, str]:
    """Return latent -> name, of a file whose first line says of which dictionary they are.

    Raises:
        UsageError: The labels are of another dictionary.
    """
    head, *lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    if head["weights_sha256"] != row.weights_sha256:
        raise UsageError(
            f"the labels of {file.name} are of another dictionary",
            "make the workspace as docs/evaluation.md says, or give --labels own",
        )
    return {one["index"]: one["name"] for one in lines if one["status"] == "ok"}


def own_labels(ctx: Context, row: DictionaryRow) -> dict[int, str]:
    """Return latent -> name of the labels that count."""
    with ctx.db.session() as session:
        best = queries.labels.best(session, row.id)
        latents = queries.features.latent_indexes(session, best)
        return {latents[feature]: found.label.name for feature, found in best.items()}


def gain_lines(
    ctx: Context,
    row: DictionaryRow,
    named: Mapping[int, str],
    is_right: Callable[[int, str], bool],
    eyes: Eyes,
    limits: Limits,
) -> list[str]:
    """Return the lines of `gain` by eyes."""
    gain, reader = Gain(limits), EvidenceReader(ctx.db, row)
    assert gain.question is not None
    judge = Asked(eyes, gain.question)
    with ctx.db.session() as session:
        ids = queries.features.ids_by_index(session, row.id)
    bases: dict[str, np.ndarray] = {}
    values: dict[int, float] = {}
    answered: dict[int, AnsweredLabel] = {}
    asked, order = 0, sorted(named)
    for start in range(0, len(order), AT_ONCE):
        some = order[start : start + AT_ONCE]
        shown = reader.for_scores({ids[latent]: latent for latent in some}, gain.needs, 0, limits=limits)
        trials = {
            latent: gain.trials(named[latent], "", shown[ids[latent]], np.random.default_rng((0, latent)))
            for latent in some
        }
        shared = {named[latent]: gain.shared_trials(named[latent], shown[ids[latent]]) for latent in some}
        eyes.learn(gain.question, [trial for part in (*trials.values(), *shared.values()) for trial in part])
        for name, part in shared.items():
            if name not in bases:
                bases[name] = np.array([verdict.value for verdict in judge.judge(part)], np.float64)
        for latent in some:
            name = named[latent]
            yes = int((bases[name] > 0.5).sum())
            base = BaseRate(yes, len(bases[name]) - yes)
            verdicts = gain.ask(judge, trials[latent], base)  # type: ignore[arg-type]
            value = gain.result(verdicts, 0, base).value
            if value is not None:
                values[latent], asked = value, asked + len(verdicts)
                every = np.array([verdict.value for verdict in judge.judge(trials[latent])], np.float64)
                answered[latent] = AnsweredLabel(name, every, bases[name])
    right = np.array([is_right(latent, named[latent]) for latent in values])
    told = f"{asked / max(len(values), 1):.1f} questions a label, {sum(map(len, bases.values()))} on base rates"
    most = f"gain by {eyes.name}, at most {limits.questions}"
    scores, names = np.array(list(values.values())), [named[latent] for latent in values]
    lines = [auroc_line(most, right, scores, told), within_line(names, right, scores)]
    if any(((one.active > 0) & (one.active < 1)).any() for one in answered.values()):
        lines += [auroc_line(f"  by {way}", right, np.array(of(list(answered.values())))) for way, of in WAYS.items()]
    return lines


def names_line(named: Mapping[int, str], is_right: Callable[[int, str], bool]) -> str:
    """Return the line of the control that looks at nothing: a label's score is the share of its name that is right.

    No score of names alone does better, because the share is that of these very labels.
    """
    right = {latent: is_right(latent, name) for latent, name in named.items()}
    of: dict[str, list[bool]] = {}
    for latent, name in named.items():
        of.setdefault(name, []).append(right[latent])
    shares = np.array([np.mean(of[name]) for name in named.values()])
    return auroc_line("names alone, the best that they can do", np.array(list(right.values())), shares)


def within_line(names: Sequence[str], right: np.ndarray, value: np.ndarray, seed: int = 0) -> str:
    """Return the line of pairs of labels that share a name, a right and a wrong one; names alone have 0.5 there.

    The interval resamples names with all their pairs.
    """
    which = np.array(names)
    wins: list[tuple[float, int]] = []
    for name in dict.fromkeys(names):
        good, bad = value[(which == name) & right], value[(which == name) & ~right]
        if len(good) and len(bad):
            pairs = len(good) * len(bad)
            wins.append((auroc(good, bad) * pairs, pairs))
    if not wins:
        return f"{'  of one name':46} -, no name is both right and wrong"
    won, pairs_of = np.array(wins).T
    drawn = np.random.default_rng(seed).integers(len(wins), size=(1000, len(wins)))
    low, high = np.quantile(won[drawn].sum(1) / pairs_of[drawn].sum(1), [0.025, 0.975])
    share = won.sum() / pairs_of.sum()
    return (
        f"{'  of one name':46} {share:.3f} ({low:.3f} to {high:.3f}), {int(pairs_of.sum())} pairs of {len(wins)} names"
    )


def stored_lines(ctx: Context, row: DictionaryRow, is_right: Callable[[int, str], bool]) -> list[str]:
    """Return the lines of the workspace's stored scores of its own labels."""
    with ctx.db.session() as session:
        best = queries.labels.best(session, row.id)
        latents = queries.features.latent_indexes(session, best)
        judged = queries.scores.judged(session, [found.label.id for found in best.values()])
        named = {found.label.id: (latents[feature], found.label.name) for feature, found in best.items()}
        session.expunge_all()
    groups: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for score, judge in judged:
        if score.value is not None and not score.shuffled:
            key = score.method, "" if judge is None else judge.model
            groups.setdefault(key, []).append((is_right(*named[score.label_id]), score.value))
    return [
        auroc_line(
            f"stored {method} by {judge}" if judge else f"stored {method}",
            np.array([one for one, _ in values]),
            np.array([one for _, one in values]),
        )
        for (method, judge), values in sorted(groups.items())
    ]


def auroc_line(what: str, right: np.ndarray, value: np.ndarray, told: str = "") -> str:
    """Return a line with the AUROC of right against wrong labels."""
    counts = f"{int(right.sum())} of {len(right)} labels right"
    if right.all() or not right.any():
        return f"{what:46} -, {counts}"
    found, low, high = auroc_interval(value[right], value[~right], 0)
    return f"{what:46} {found:.3f} ({low:.3f} to {high:.3f}), {counts}" + (f"; {told}" if told else "")


if __name__ == "__main__":
    main()
