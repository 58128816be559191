"""Whether scores tell right names from wrong ones, on a workspace of a shapes model.

The right name of a feature is its truth. The wrong ones are made from it in five known ways (`broken_names`), each
reported on its own. The figure is the AUROC of right against wrong names, with its interval. Every score that reads
names is asked about both, with at most so many questions a name, by exact eyes, by exact eyes of which 15% of the
answers are turned round, and by shapes-vlm. The base rates that `gain` needs are asked once for each name.

    python -m benchmarks.sanity WORKSPACE --layer mid
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from autointerp.labeling.judging import score_method
from autointerp.labeling.judging.intervals import auroc_interval
from autointerp.labeling.judging.methods import Limits, Method
from autointerp.labeling.protocol import BaseRate, ScoreEvidence, Trial
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.broken_names import BREAKS, Break, NameWords, broken
from benchmarks.eyes import Asked, ExactEyes, Eyes, NoisyEyes, VlmEyes

JUDGED = ("gain", "detection", "fuzzing")
"""Scores that a judge answers by a name."""
AT_ONCE = 32
"""Features that are read at a time."""


class Name(NamedTuple):
    """A name of a feature, right (None) or broken in a way."""

    feature_id: int
    latent: int
    text: str
    way: Break | None


@dataclass(frozen=True)
class Figure:
    """How well a score tells right names from those of one way; all ways together where it is empty."""

    score: str
    eyes: str
    way: str
    value: float
    low: float
    high: float
    names: int


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path, exists=True))
@click.option("--layer", default="mid", show_default=True)
@click.option("--features", default=120, show_default=True, help="Features with a truth, drawn at random.")
@click.option("--questions", default=20, show_default=True, help="Questions a name, at most.")
@click.option("--images", default=1000, show_default=True, help="Held-out images that truths are found on.")
@click.option("--eyes", "wanted", multiple=True, default=("exact", "noisy", "vlm"), help="Whose eyes; repeatable.")
@click.option("--kept", type=click.Path(path_type=Path), help="File of shapes-vlm's answers, read and added to.")
def main(
    workspace: Path, layer: str, features: int, questions: int, images: int, wanted: tuple[str, ...], kept: Path | None
) -> None:
    """Print the AUROC of each score, eyes and way."""
    ctx = Context(WorkspaceFolder.open(workspace), evaluate_images=images)
    names = names_of(ctx, layer, features)
    exact = ExactEyes()
    makers: dict[str, Callable[[], Eyes]] = {
        "exact": lambda: exact,
        "noisy": lambda: NoisyEyes(exact),
        "vlm": lambda: VlmEyes(kept),
    }
    figures = [one for eyes in wanted for one in judged(ctx, layer, names, makers[eyes](), questions)]
    figures += figures_of("embedding", "-", names, embedded(ctx, layer, names))
    click.echo(table(figures))


def names_of(ctx: Context, layer: str, features: int, seed: int = 0) -> list[Name]:
    """Return the right and the broken names of some features that have a truth."""
    from autointerp.db import queries
    from autointerp.shapes.extensions import Atoms
    from autointerp.shapes.label_verdict import relation
    from autointerp.shapes.oracle import Oracle
    from autointerp.stages.evaluate.evaluating import truths_of

    row = ctx.dictionary_of(layer)
    assert row is not None
    truths = {latent: NameWords.of(one.concept) for latent, one in enumerate(truths_of(ctx, row)) if one is not None}
    with ctx.db.session() as session:
        ids = queries.features.ids_by_index(session, row.id)
        images = queries.crops.image_ids(session, row.id, "score")
    pictures = EvidenceReader(ctx.db, row).pictures(images)
    cells = Oracle.load().read([crop.picture for crop in pictures.values()])
    extension = cache(Atoms.of_cells(cells).extension)
    rng = np.random.default_rng(seed)
    found: list[Name] = []
    for latent in sorted(rng.permutation(sorted(truths))[:features].tolist()):
        right = truths[latent]
        own = extension(str(right)).holds
        found.append(Name(ids[latent], latent, str(right), None))
        others = [words for words in truths.values() if words != right]
        for way, words in broken(right, others, rng).items():
            # A name is wrong only if it picks out other cells.
            if relation(extension(str(words)).holds, own) != "exact":
                found.append(Name(ids[latent], latent, str(words), way))
    return found


def judged(ctx: Context, layer: str, names: Sequence[Name], eyes: Eyes, questions: int) -> Iterator[Figure]:
    """Yield the figures of the scores that eyes answer."""
    limits = Limits(questions, ctx.settings.gain.cells)
    for name in JUDGED:
        method = score_method(name).within(limits)
        yield from figures_of(name, eyes.name, names, values_of(ctx, layer, names, eyes, method))


def values_of(ctx: Context, layer: str, names: Sequence[Name], eyes: Eyes, method: Method) -> list[float | None]:
    """Return the score of each name by a method, asked of eyes."""
    row = ctx.dictionary_of(layer)
    assert row is not None
    assert method.question is not None
    reader, question = EvidenceReader(ctx.db, row), method.question
    judge, bases = Asked(eyes, question), dict[str, BaseRate]()
    values: list[float | None] = []
    for start in range(0, len(names), AT_ONCE * (1 + len(BREAKS))):
        some = names[start : start + AT_ONCE * (1 + len(BREAKS))]
        latents = {one.feature_id: one.latent for one in some}
        shown = reader.for_scores(latents, method.needs, 0, limits=method.limits)
        asked = [_trials(method, one, shown[one.feature_id]) for one in some]
        shared = {one.text: method.shared_trials(one.text, shown[one.feature_id]) for one in some}
        eyes.learn(question, [trial for trials in (*asked, *shared.values()) for trial in trials])
        for name, trials in shared.items():
            if trials and name not in bases:
                verdicts = judge.judge(trials)
                bases[name] = BaseRate(*(sum(v.holds is holds for v in verdicts) for holds in (True, False)))
        for one, trials in zip(some, asked, strict=True):
            base = bases.get(one.text)
            values.append(method.result(method.ask(judge, trials, base), 0, base).value)  # type: ignore[arg-type]
    return values


def _trials(method: Method, name: Name, shown: ScoreEvidence) -> list[Trial]:
    return method.trials(name.text, "", shown, np.random.default_rng((0, name.latent)))


def embedded(ctx: Context, layer: str, names: Sequence[Name]) -> list[float | None]:
    """Return the embedding score of each name."""
    from autointerp.labeling.judging.embedder_judge import EmbedderJudge
    from autointerp.stages.index.opening import open_index
    from autointerp.stages.score.crop_vectors import CropVectors

    row = ctx.dictionary_of(layer)
    assert row is not None
    method, reader = score_method("embedding"), EvidenceReader(ctx.db, row)
    judge = EmbedderJudge(ctx.embedder, CropVectors(ctx, open_index(ctx, row, "crops")))
    shown = reader.for_scores({one.feature_id: one.latent for one in names}, method.needs, 0)
    return [method.result(judge.judge(_trials(method, one, shown[one.feature_id])), 0).value for one in names]


def figures_of(score: str, eyes: str, names: Sequence[Name], values: Sequence[float | None]) -> list[Figure]:
    """Return the AUROC of right against wrong names, of each way and of all ways together."""
    found = []
    known = {(one.latent, one.way): value for one, value in zip(names, values, strict=True) if value is not None}
    for way in (None, *BREAKS):
        wrong = {key: value for key, value in known.items() if key[1] is not None and way in (None, key[1])}
        # Each way is held against the right names of the features that could be broken so.
        right = [known[latent, None] for latent in {key[0] for key in wrong} if (latent, None) in known]
        if not right:
            continue
        value, low, high = auroc_interval(np.array(right), np.array(list(wrong.values())), 0)
        found.append(Figure(score, eyes, way or "all", value, low, high, len(right)))
    return found


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table, a row for each score and eyes."""
    lines = ["| score | eyes | all | " + " | ".join(BREAKS) + " |", "|---" * (3 + len(BREAKS)) + "|"]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in figures:
        rows.setdefault((one.score, one.eyes), {})[one.way] = f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
    for key, cells in rows.items():
        lines.append("| " + " | ".join([*key, *(cells.get(way, "-") for way in ("all", *BREAKS))]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
