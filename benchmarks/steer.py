"""Whether steering a labeled feature of `shapes` does what its name says: the table of docs/evaluation.md.

    python -m benchmarks.steer -w DIR

The workspace must hold labels. The best labeled features whose names say what a caption can say are raised on held-out
prompts that do not say it, and lowered on prompts that do. The oracle reads which share of a picture's cells shows the
concept, before and after. The control does the same along a random direction of the same norm.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from autointerp.shapes.concepts import REGIONS, Concept, all_concepts, concept_masks
from autointerp.shapes.truth import names_truth

SAID = ("color", "shape", "texture", "size", "background", "pair")
"""Kinds of concepts that a caption can say."""
STRENGTHS = (-8.0, -4.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Line:
    """One strength: mean change of the concept's share of cells, and how often it went the wanted way."""

    strength: float
    cases: int
    before: float
    steered: float
    random: float
    more: float
    low: float
    high: float
    """By how much further the steered share went the wanted way than the control's, with its 95% interval."""
    right: float
    right_random: float


def said_concept(name: str) -> Concept | None:
    """The narrowest concept that a label says and a caption can say; None where there is none."""
    concepts = [c for c in all_concepts() if c.kind in SAID and not REGIONS.keys() & set(c.words)]
    said = [c for c in concepts if names_truth(name, c)]
    return max(said, key=lambda c: len(c.words)) if said else None


def prompts_for(concept: Concept, prompts: Sequence[str], says: bool, count: int) -> tuple[str, ...]:
    """The first prompts that say all of a concept's words, or that say none of them."""
    wanted = len(concept.words) if says else 0
    fits = [p for p in prompts if len(set(concept.words) & set(re.findall(r"[a-z]+", p))) == wanted]
    return tuple(fits[:count])


def measured(ctx: Any, count: int, prompts: int, strengths: Sequence[float]) -> tuple[list[str], list[Line]]:
    """The features' names, and a line a strength."""
    import torch

    from autointerp.dictionaries.storage import load_dictionary
    from autointerp.diffusion.edits import add_vector
    from autointerp.experiments.regions import EditRegion
    from autointerp.experiments.steering import SteerColumn, edit_of, steered
    from autointerp.project.targets import Target, find_dictionary
    from autointerp.shapes.oracle import Oracle
    from autointerp.views.labeled import best_features

    row = find_dictionary(ctx, Target("mid"))
    layer, oracle = ctx.layer_of(row), Oracle.load()
    dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name)).to(ctx.model.device)
    place = {concept.words: i for i, concept in enumerate(all_concepts())}
    held_out = [job.prompt for job in ctx.prompts.held_out(500, ctx.settings.seed, ctx.settings.images)]
    chosen: list[tuple[Any, str, Concept]] = []
    for one in best_features(ctx, row, row.num_latents):
        if (concept := said_concept(one.name)) is not None and len(chosen) < count:
            chosen.append((one.feature, one.name, concept))
    cases: dict[float, list[list[tuple[float, float, float]]]] = {strength: [] for strength in strengths}
    with ctx.progress.task("steer", len(chosen) * len(strengths), unit="case") as bar:
        for feature, _, concept in chosen:
            direction = dictionary.directions[feature.latent_index]
            draw = torch.Generator().manual_seed(feature.latent_index)
            random = torch.randn(len(direction), generator=draw).to(direction)
            random *= direction.norm() / random.norm()
            for wanted in (True, False):
                mine = [s for s in strengths if (s > 0) == wanted]
                given = prompts_for(concept, held_out, says=not wanted, count=prompts)
                if not given or not mine:
                    continue
                unit = feature.mean_activation
                ways = [s * unit * along for s in mine for along in (direction, random)]
                placed = [edit_of(layer, add_vector(way), EditRegion()) for way in ways]
                columns = [SteerColumn("before"), *(SteerColumn("", [edit]) for edit in placed)]
                shares = [
                    concept_masks(oracle.read(pictures))[1][place[concept.words]].mean((1, 2))
                    for pictures in steered(ctx, columns, given, ctx.settings.seed)
                ]
                for i, strength in enumerate(mine):
                    triples = zip(shares[0], shares[1 + 2 * i], shares[2 + 2 * i], strict=True)
                    cases[strength].append([(float(a), float(b), float(c)) for a, b, c in triples])
                bar.advance(len(mine))
    return [f"{name} ({concept.name})" for _, name, concept in chosen], [
        line(strength, found) for strength, found in cases.items() if found
    ]


def line(strength: float, features: Sequence[Sequence[tuple[float, float, float]]]) -> Line:
    """The figures of one strength, of (before, steered, control) of each prompt of each feature.

    A lowered concept that was not there cannot fall: such prompts do not count.
    """
    sign = math.copysign(1.0, strength)
    kept = [[case for case in cases if strength > 0 or case[0] > 0] for cases in features]
    kept = [cases for cases in kept if cases]
    before, after, control = np.array([case for cases in kept for case in cases], np.float64).reshape(-1, 3).T
    # Prompts of one feature are not independent: the interval is over features.
    means = np.array([np.mean([sign * (case[1] - case[2]) for case in cases]) for cases in kept])
    half = 1.96 * float(means.std(ddof=1)) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    more = float(means.mean())
    return Line(
        strength,
        len(before),
        float(before.mean()),
        float((after - before).mean()),
        float((control - before).mean()),
        more,
        more - half,
        more + half,
        float((sign * (after - before) > 0).mean()),
        float((sign * (control - before) > 0).mean()),
    )


def table(lines: Sequence[Line]) -> str:
    """A Markdown table, ready for docs/evaluation.md."""
    head = "strength | pictures | share before | change, steered | change, random | more than random | the wanted way"
    rows = [f"| {head} | random direction |", "|" + "---|" * 8]
    for x in lines:
        rows.append(
            f"| {x.strength:+g} | {x.cases} | {x.before:.1%} | {x.steered:+.1%} | {x.random:+.1%} "
            f"| {x.more:.1%} ({x.low:.1%} to {x.high:.1%}) | {x.right:.0%} | {x.right_random:.0%} |"
        )
    return "\n".join(rows)


@click.command()
@click.option("-w", "--workspace", type=click.Path(path_type=Path), required=True, help="A labeled one, of shapes.")
@click.option("--features", type=click.IntRange(min=1), default=24, show_default=True, help="Best labeled ones.")
@click.option("--prompts", type=click.IntRange(min=1), default=2, show_default=True, help="Of each feature.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(workspace: Path, features: int, prompts: int, as_json: bool) -> None:
    """Steer labeled features of `mid`, beside random directions of the same norm."""
    from autointerp.progress import default_progress
    from autointerp.project.context import Context
    from autointerp.project.workspace import WorkspaceFolder

    ctx = Context(WorkspaceFolder(workspace), default_progress())
    names, lines = measured(ctx, features, prompts, STRENGTHS)
    click.echo(", ".join(names), err=True)
    click.echo(json.dumps([asdict(x) for x in lines], indent=2) if as_json else table(lines))


if __name__ == "__main__":
    main()
