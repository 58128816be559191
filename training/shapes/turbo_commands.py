"""Commands of shapes-turbo: its pairs, its training and its figures."""

from __future__ import annotations

from pathlib import Path

import click

from autointerp.progress import default_progress

PAIRS_HELP = "Training captions that the diffusion model is run on; those that come out right are the pairs."


@click.command(context_settings={"show_default": True})
@click.option("--captions", default=16_384, help=PAIRS_HELP)
@click.option("--seed", default=0)
@click.pass_context
def turbo_pairs(context: click.Context, captions: int, seed: int) -> None:
    """Make the pairs of noise and final latent that turbo learns from, after transformer and oracle."""
    from autointerp.shapes.oracle import Oracle
    from training.shapes.turbo_pairs import PairMaker, make_pairs

    runs, weights = context.obj
    maker = PairMaker(weights / "model", Oracle.load(weights / "oracle"), seed)
    make_pairs(runs / "turbo", maker, captions, default_progress())


@click.command(context_settings={"show_default": True})
@click.option("--captions", default=16_384, help="Training captions that turbo-pairs was run on.")
@click.option("--steps", default=1350)
@click.option("--seed", default=0)
@click.option(
    "--snapshot",
    type=click.Path(path_type=Path),
    default=None,
    help="Train nothing: write the last checkpoint's weights to this folder.",
)
@click.pass_context
def turbo(context: click.Context, captions: int, steps: int, seed: int, snapshot: Path | None) -> None:
    """Distill the diffusion transformer to few steps, after turbo-pairs."""
    from training.shapes.loop import load_checkpoint, train
    from training.shapes.turbo import TurboSettings, TurboTrainer
    from training.shapes.turbo_pairs import Shared, load_pairs, load_transformer

    runs, weights = context.obj
    folder = runs / "turbo"
    shared, model = Shared(weights / "model"), load_transformer(weights / "model")
    settings = TurboSettings(steps=steps, seed=seed)
    trainer = TurboTrainer(load_pairs(folder, seed, captions), shared, model, settings, compiled=snapshot is None)
    if snapshot:
        click.echo(f"after {load_checkpoint(folder, trainer)} steps", err=True)
    else:
        train(trainer, folder, default_progress(), every=100)
    trainer.save(snapshot or weights / "turbo")
    click.echo(f"wrote {snapshot or weights / 'turbo'}", err=True)


@click.command(context_settings={"show_default": True})
@click.option("--prompts", default=1000, help="Captions to paint.")
@click.option("--steps", default=(1, 2, 4), multiple=True, help="Denoising steps; say it once for each figure.")
@click.option("--training", is_flag=True, help="On captions that trainers may see, to choose settings by.")
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="The model.  [default: the weights']")
@click.pass_context
def measure_turbo(
    context: click.Context, prompts: int, steps: tuple[int, ...], training: bool, folder: Path | None
) -> None:
    """Print how well shapes-turbo paints held-out captions, in few steps and without guidance."""
    from autointerp.shapes.oracle import Oracle
    from training.shapes.turbo_measure import turbo_figures

    weights = context.obj[1]
    oracle = Oracle.load(weights / "oracle")
    for count in steps:
        figures = turbo_figures(weights, folder or weights / "turbo", oracle, prompts, count, training)
        click.echo(f"{prompts} {'training' if training else 'held-out'} captions, {count} steps, no guidance")
        for name, share in figures.items():
            click.echo(f"  {name:<14} {share}")


TURBO = (turbo_pairs, turbo, measure_turbo)
