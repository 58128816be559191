"""What it costs and loses to judge several pictures in a request: the table of docs/evaluation.md.

The questions are those of `gain` about the labels of a workspace, each about one marked cell. shapes-vlm answers them
with one picture a request and with eight. Beside the agreement with exact eyes stand the seconds here, and what the
same requests would read and cost at a server, by the prices of a model.

    python -m benchmarks.judge_batch WORKSPACE --layer mid
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from autointerp.labeling.judging.gain import Gain
from autointerp.labeling.judging.methods import Limits
from autointerp.labeling.protocol import Trial
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.targets import Target, find_dictionary
from autointerp.project.workspace import WorkspaceFolder
from benchmarks.eyes import ExactEyes
from benchmarks.right_labels import own_labels

ANSWER_TOKENS = 12
"""Tokens of an answer about one picture, about; each further one takes two more."""


@dataclass(frozen=True)
class Line:
    """One number of pictures a request.

    Attributes:
        batch: Pictures a request.
        requests: Requests in all.
        yes: Share of right answers where the truth is yes.
        no: The same where it is no.
        unread: Share of the answers that could not be read.
        seconds: Time that shapes-vlm took.
        tokens: Tokens that a server would read for a label, about.
        dollars: What 1,000 labels would cost there.
    """

    batch: int
    requests: int
    yes: float
    no: float
    unread: float
    seconds: float
    tokens: float
    dollars: float


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path, exists=True))
@click.option("--layer", default="mid", show_default=True)
@click.option("--count", default=120, show_default=True, help="Labels, drawn at random.")
@click.option("--batch", "batches", multiple=True, type=int, default=(1, 8), help="Pictures a request; repeatable.")
@click.option("--model", default="gpt-4o-mini", show_default=True, help="Model whose prices are taken.")
def main(workspace: Path, layer: str, count: int, batches: tuple[int, ...], model: str) -> None:
    """Print the table."""
    ctx = Context(WorkspaceFolder.open(workspace))
    asked = trials_of(ctx, layer, count)
    click.echo(table([measured(asked, batch, model) for batch in batches]))


def trials_of(ctx: Context, layer: str, count: int) -> list[list[Trial]]:
    """Return the questions about some labels: cells of the feature, and as many random ones."""
    from autointerp.db import queries

    row = find_dictionary(ctx, Target(layer))
    named = own_labels(ctx, row)
    chosen = sorted(np.random.default_rng(0).permutation(sorted(named))[:count].tolist())
    gain, reader = Gain(Limits(8, 8)), EvidenceReader(ctx.db, row)
    with ctx.db.session() as session:
        ids = queries.features.ids_by_index(session, row.id)
    shown = reader.for_scores({ids[latent]: latent for latent in chosen}, gain.needs, 0, limits=Limits(8, 64))
    found = []
    for latent in chosen:
        rng, evidence = np.random.default_rng((0, latent)), shown[ids[latent]]
        cells = tuple(evidence.cells[i] for i in rng.permutation(len(evidence.cells))[:8])
        trials = gain.trials(named[latent], "", evidence, rng)
        trials += gain.shared_trials(named[latent], replace(evidence, cells=cells))
        found.append([trials[i] for i in rng.permutation(len(trials))])
    return found


def measured(asked: Sequence[Sequence[Trial]], batch: int, model: str) -> Line:
    """Ask shapes-vlm all questions, so many in a request."""
    from concurrent.futures import ThreadPoolExecutor

    from autointerp.labeling.asking.local import LocalChat
    from autointerp.labeling.asking.messages import guess_tokens
    from autointerp.labeling.asking.prices import load_price
    from autointerp.labeling.judging.vlm_judge import VlmJudge
    from autointerp.shapes.vlm import BATCH, JUDGING, MAX_TOKENS, NAME, load_shapes_vlm

    question = Gain().question
    assert question is not None
    asker = LocalChat(load_shapes_vlm(), NAME, batch=BATCH, max_tokens=MAX_TOKENS)
    judge = VlmJudge(asker, replace(JUDGING, batch=batch), BATCH, question)
    begun = time.perf_counter()
    with ThreadPoolExecutor(BATCH) as pool:
        verdicts = [verdict for some in pool.map(judge.judge, asked) for verdict in some]
    seconds = time.perf_counter() - begun
    true = np.array([one.holds for one in ExactEyes().judge(question, [one.trial for one in verdicts])])
    said = np.array([np.nan if one.holds is None else one.holds for one in verdicts], float)
    read = ~np.isnan(said)
    requests = [judge.messages(part) for some in asked for part in question.batches(some, batch)]
    tokens = sum(map(guess_tokens, requests)) / len(asked)
    written = sum(ANSWER_TOKENS + 2 * (len(part) - 1) for some in asked for part in question.batches(some, batch))
    price = load_price(model)
    dollars = 0.0 if price is None else price.of(int(1000 * tokens), int(1000 * written / len(asked)))
    yes, no = (float((said == true)[read & (true == wanted)].mean()) for wanted in (True, False))
    return Line(batch, len(requests), yes, no, 1 - float(read.mean()), seconds, tokens, dollars)


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table."""
    head = "| pictures a request | requests | right, of yes | right, of no | balanced | unread | seconds here "
    head += "| tokens a label | $ for 1,000 labels |"
    rows = [
        f"| {one.batch} | {one.requests} | {one.yes:.1%} | {one.no:.1%} | {(one.yes + one.no) / 2:.1%} "
        f"| {one.unread:.1%} | {one.seconds:.0f} | {one.tokens:,.0f} | {one.dollars:.2f} |"
        for one in lines
    ]
    return "\n".join([head, "|---" * 9 + "|", *rows])


if __name__ == "__main__":
    main()
