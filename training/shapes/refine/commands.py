"""Commands of the second training of shapes-vlm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autointerp.progress import default_progress

if TYPE_CHECKING:
    from training.shapes.vlm_model import VlmModule
    from training.shapes.vlm_pool import Pool
    from training.shapes.wide.pool import Model

RENDERS, TURBO, SHAPES = 1024, 1024, 512
HELD_OUT_SEED = 1000


def _pool(context: click.Context, pictures: Mapping[str, int], seed: int = 0, held_out: bool = False) -> Pool:
    """Renders and pictures of both models, as many as `pictures` says of each."""
    from training.shapes.refine.pool import refining_pool

    runs, weights = context.obj
    painted: dict[Model, int] = {"shapes-turbo": pictures["turbo"], "shapes": pictures["shapes"]}
    painted = {model: count for model, count in painted.items() if count}
    return refining_pool(runs, weights, pictures["renders"], painted, seed, held_out, default_progress())


def shipped_module(folder: Path, concepts: int, seed: int = 0) -> VlmModule:
    """The model of a folder, in float32, with new heads that are drawn from a seed."""
    import torch
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    from training.shapes.vlm_model import VlmModule

    torch.manual_seed(seed)
    model = VlmModule(AutoTokenizer.from_pretrained(folder), concepts)
    trained = LlavaForConditionalGeneration.from_pretrained(folder, dtype="float32")
    model.vlm.load_state_dict(trained.state_dict())
    return model


@click.command()
@click.option("--steps", default=2100, show_default=True, help="Steps in all.")
@click.option("--full", default=430, show_default=True, help="Of these, the last ones, which show all patches.")
@click.option("--renders", default=RENDERS, show_default=True, help="Renders to train on.")
@click.option("--turbo", default=TURBO, show_default=True, help="Pictures of shapes-turbo to train on.")
@click.option("--shapes", default=SHAPES, show_default=True, help="Pictures of shapes to train on.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder of the result.  [default: weights]")
@click.option("--seed", default=0, show_default=True)
@click.pass_context
def refine_vlm(context: click.Context, steps: int, full: int, out: Path | None, seed: int, **pictures: int) -> None:
    """Teach the shipped shapes-vlm to judge marks, and to say when nothing is in common."""
    from transformers import AutoTokenizer

    from training.shapes.loop import train
    from training.shapes.refine.vlm import RefiningPlan, VlmRefiner

    runs, weights = context.obj
    pool = _pool(context, pictures, seed)
    model = shipped_module(weights / "vlm", len(pool.concepts), seed)
    tokenizer = AutoTokenizer.from_pretrained(weights / "vlm")
    trainer = VlmRefiner(pool, model, tokenizer, RefiningPlan(steps, full), seed, default_progress())
    train(trainer, runs, default_progress(), every=100)
    trainer.save(out or weights / "vlm")
    click.echo(f"wrote {out or weights / 'vlm'}", err=True)


@click.command()
@click.option(
    "--marks", default=900, show_default=True, help="Questions to the judge, and a third as many of pictures."
)
@click.option("--names", default=240, show_default=True, help="Questions for a name.")
@click.option("--shapes", is_flag=True, help="Pictures of shapes in the place of those of shapes-turbo.")
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="The model.  [default: the weights']")
@click.pass_context
def measure_refined(context: click.Context, marks: int, names: int, shapes: bool, folder: Path | None) -> None:
    """Print what shapes-vlm gets right of marks and names, on held-out pictures of a diffusion model."""
    from autointerp.shapes.vlm import load_shapes_vlm
    from training.shapes.measure import table
    from training.shapes.refine.probe import judging_probe, naming_probe, parts_probe

    vlm = load_shapes_vlm(folder or context.obj[1] / "vlm")
    pool = _pool(
        context,
        {"renders": 0, "turbo": 0 if shapes else 512, "shapes": 512 if shapes else 0},
        HELD_OUT_SEED,
        held_out=True,
    )
    if marks:
        click.echo(table("judging, balanced accuracy", judging_probe(vlm, pool, marks)))
        click.echo(table("said to hold, of random cells", parts_probe(vlm, pool, marks)))
    if names:
        click.echo(table("naming", naming_probe(vlm, pool, names)))
