"""Commands that change what a model does, and show what becomes of its pictures."""

from __future__ import annotations

from pathlib import Path

import click

from autointerp.commands.calls import open_context
from autointerp.commands.options import PATH, SEED, machine_options, shared_options


@click.command()
@click.argument("feature")
@click.option(
    "--prompt", "prompts", required=True, multiple=True, metavar="TEXT", help="A row of pictures; repeatable."
)
@click.option(
    "--strength",
    "strengths",
    type=float,
    multiple=True,
    metavar="X",
    help="How many of its mean activations are added; below 0 suppresses; repeatable.  [default: 4]",
)
@click.option("--ablate", is_flag=True, help="Also a picture without the feature.")
@click.option("--steps", metavar="A:B", help="Denoising steps, 0-based, B exclusive.  [default: all]")
@click.option("--box", metavar="R0,C0,R1,C1", help="Cells of the layer's grid, ends exclusive.  [default: all]")
@click.option("--seed", type=SEED, metavar="S", help="Seed of the pictures.  [default: the workspace's]")
@click.option("-o", "--out", required=True, type=PATH, metavar="FILE", help="The PNG to write.")
@machine_options
@shared_options
def steer(
    feature: str,
    prompts: tuple[str, ...],
    strengths: tuple[float, ...],
    ablate: bool,
    steps: str | None,
    box: str | None,
    seed: int | None,
    out: Path,
    device: str | None,
    dtype: str | None,
) -> None:
    """Change a feature (DICTIONARY:INDEX) while pictures are generated: before and after, side by side."""
    from autointerp.crops.png import PngFile
    from autointerp.experiments.regions import EditRegion
    from autointerp.experiments.steer import SteerRequest, steer_feature

    ctx = open_context(device=device, dtype=dtype)
    file = PngFile(out)
    region = EditRegion.parse(steps, box, ctx.generation.steps)
    picture = steer_feature(ctx, feature, SteerRequest(prompts, strengths, ablate, region, seed))
    click.echo(file.write(picture))
