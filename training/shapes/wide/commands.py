"""Commands of the third training of shapes-vlm: eyes that know more words, and a language model that says them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autointerp.progress import default_progress

if TYPE_CHECKING:
    from autointerp.labeling.asking.local_vlm import LocalVlm
    from training.shapes.wide.pool import WidePool

SETTINGS = {"show_default": True}
HELD_OUT_SEED = 1000


def _eyes_pool(context: click.Context, seed: int, wide: int, own: int, painted: int) -> WidePool:
    from training.shapes.wide.pool import WidePool, generated_pool, wide_pool, world_pool

    runs, weights = context.obj
    pools = [wide_pool(wide, seed, folder=runs, progress=default_progress()), world_pool(own, seed)]
    if painted:
        pools.append(generated_pool(runs, weights, "shapes-turbo", painted, seed, progress=default_progress()))
    return WidePool.joined(pools)


@click.command(context_settings=SETTINGS)
@click.option("--steps", default=12_500, help="Steps in all.")
@click.option("--seed", default=0)
@click.option("--wide", default=6144, help="Renders of the wider world to train on.")
@click.option("--own", default=1024, help="Renders of the world to train on.")
@click.option("--painted", default=512, help="Pictures of shapes-turbo to train on.")
@click.pass_context
def vlm_eyes(context: click.Context, steps: int, seed: int, wide: int, own: int, painted: int) -> None:
    """Teach the eyes of shapes-vlm the words of a wider world, from the shipped weights on."""
    from training.shapes.loop import train
    from training.shapes.wide.eyes import EyesTrainer, shipped_eyes

    runs, weights = context.obj
    pool = _eyes_pool(context, seed, wide, own, painted)
    trainer = EyesTrainer(pool, shipped_eyes(weights / "vlm"), steps, seed=seed)
    train(trainer, runs, default_progress())
    trainer.save(runs / "vlm-eyes")
    click.echo(f"wrote {runs / 'vlm-eyes'}", err=True)


@click.command(context_settings=SETTINGS)
@click.option("--views", default=2880, help="Views of held-out pictures.")
@click.option("--renders", default=1024, help="Held-out renders of the wider world.")
@click.option("--seed", default=0)
@click.pass_context
def measure_eyes(context: click.Context, views: int, renders: int, seed: int) -> None:
    """Print what the eyes of the last checkpoint of vlm-eyes read right, on held-out pictures."""
    from training.shapes.loop import load_checkpoint
    from training.shapes.measure import table
    from training.shapes.wide.eyes import EyesTrainer, shipped_eyes
    from training.shapes.wide.eyes_measure import eyes_figures
    from training.shapes.wide.pool import generated_pool, wide_pool, world_pool

    runs, weights = context.obj
    pools = {"renders of the wider world": wide_pool(renders, seed, True), "renders": world_pool(256, seed, True)}
    pools["pictures of shapes-turbo"] = generated_pool(runs, weights, "shapes-turbo", 512, HELD_OUT_SEED, True)
    for sort, pool in pools.items():
        trainer = EyesTrainer(pool, shipped_eyes(weights / "vlm"), seed=seed)
        done = load_checkpoint(runs, trainer)
        click.echo(table(f"eyes after {done} steps, {sort}", eyes_figures(trainer, views, seed), ""))


@click.command(context_settings=SETTINGS)
@click.option("--aligning", default=400, help="The first steps, which teach the words of what the eyes see alone.")
@click.option("--naming", default=2800, help="The next ones, which ask for names of few cells, and judging.")
@click.option("--telling", default=0, help="The next ones, which ask what tells features apart as well.")
@click.option("--apart", default=0, help="Questions what tells features apart in each of the last steps.")
@click.option("--full", default=1100, help="The last ones, which ask everything as in use.")
@click.option("--own", default=1024, help="Renders of the world to train on.")
@click.option("--painted", default=1024, help="Pictures of shapes-turbo to train on.")
@click.option("--wide", default=4608, help="Renders of the wider world to train on.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder of the result.  [default: weights]")
@click.option("--seed", default=0)
@click.pass_context
def widen_vlm(context: click.Context, out: Path | None, seed: int, **given: int) -> None:
    """Teach shapes-vlm the words of a wider world after vlm-eyes, and to tell features apart if wanted."""
    from training.shapes.loop import train
    from training.shapes.wide.eyes import load_eyes
    from training.shapes.wide.growth import grown
    from training.shapes.wide.pool import LATER, WidePool, wide_pool, world_of_both
    from training.shapes.wide.vlm import WideModule, WidePlan, WideTrainer

    runs, weights = context.obj
    world, as_wide = world_of_both(runs, weights, given["own"], given["painted"], seed, default_progress())
    renders = wide_pool(given["wide"], seed + LATER, folder=runs, progress=default_progress())
    pool = WidePool.joined([as_wide, renders])
    vlm, tokenizer = grown(weights / "vlm")
    model = WideModule(vlm, tokenizer, len(world.concepts))
    load_eyes(model.eyes, runs / "vlm-eyes" / "eyes.safetensors")
    aligning, naming, telling, full = (given[phase] for phase in ("aligning", "naming", "telling", "full"))
    plan = WidePlan(
        aligning + naming + telling + full,
        full,
        aligning=aligning,
        naming=naming,
        telling=telling,
        apart=given["apart"],
    )
    trainer = WideTrainer(world, pool, model, tokenizer, plan, seed, default_progress())
    train(trainer, runs, default_progress(), every=50)
    trainer.save(out or weights / "vlm")
    click.echo(f"wrote {out or weights / 'vlm'}", err=True)


@click.command(context_settings=SETTINGS)
@click.option("--questions", default=5, help="Questions about each word and pair; 0 leaves them out.")
@click.option("--apart", default=200, help="Questions what tells features apart; 0 leaves them out.")
@click.option("--each", is_flag=True, help="Print the share of each word and pair.")
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="The model.  [default: the weights']")
@click.pass_context
def measure_wide(context: click.Context, questions: int, apart: int, each: bool, folder: Path | None) -> None:
    """Print which words of the wider world a model knows, and whether it tells features apart.

    The last needs a model that widen-vlm wrote with --telling or --apart.
    """
    from autointerp.shapes.vlm import load_shapes_vlm
    from training.shapes.measure import table
    from training.shapes.wide.measure import apart_figures
    from training.shapes.wide.pool import generated_pool

    runs, weights = context.obj
    vlm = load_shapes_vlm(folder or weights / "vlm")
    if questions:
        _echo_words(vlm, questions, each)
    if apart:
        pool = generated_pool(runs, weights, "shapes-turbo", 512, HELD_OUT_SEED, True, default_progress())
        click.echo(table("features of one name", apart_figures(vlm, pool, apart)))


def _echo_words(vlm: LocalVlm, questions: int, each: bool) -> None:
    from training.shapes.wide.measure import pair_figures, pairs_left_out, pairs_seen, word_figures

    figures, shares = word_figures(vlm, questions)
    click.echo(f"words named right in {questions} questions each, of 20 cells of held-out renders")
    for name, value in figures.items():
        click.echo(f"  {name:<32} {value:.3g}")
    for sort, pairs in (("left out of training", pairs_left_out()), ("of words like them, not left out", pairs_seen())):
        share, of_pairs = pair_figures(vlm, pairs, questions)
        click.echo(f"  {len(pairs)} pairs {sort}, named right: {share:.3f}")
        shares |= of_pairs
    if each:
        for name, share in sorted(shares.items(), key=lambda item: item[1]):
            click.echo(f"    {name:<24} {share:.2f}")


WIDE = (vlm_eyes, measure_eyes, widen_vlm, measure_wide)
