"""`python -m training.shapes PART`: train one part of the shapes world, or measure them all."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autointerp.progress import default_progress
from training.shapes.finishing import finish
from training.shapes.refine.commands import measure_refined, refine_vlm
from training.shapes.turbo_commands import TURBO
from training.shapes.vlm_commands import VLM
from training.shapes.wide.commands import WIDE

if TYPE_CHECKING:
    import numpy as np

WEIGHTS = Path(str(files("autointerp.shapes"))) / "weights"


@click.group(context_settings={"show_default": True})
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs/shapes"), help="Where checkpoints lie.")
@click.option("--weights", type=click.Path(path_type=Path), default=WEIGHTS, help="Where trained weights go.")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="Processor threads.  [default: all]")
@click.pass_context
def main(context: click.Context, runs: Path, weights: Path, threads: int | None) -> None:
    """Train the models of the shapes world: seeded, resumable, on a processor.

    The order is autoencoder, text, transformer; oracle and clip need the autoencoder alone, vlm needs them all. A
    trainer stopped at any moment goes on from its last checkpoint in --runs.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    context.obj = (runs, weights)


@main.command()
@click.option("--steps", default=2000)
@click.option("--seed", default=0)
@click.pass_context
def autoencoder(context: click.Context, steps: int, seed: int) -> None:
    """Train the autoencoder of the diffusion model."""
    from training.shapes.autoencoder import AutoencoderTrainer

    finish(context, AutoencoderTrainer(steps=steps, seed=seed), "model/vae")


@main.command()
@click.option("--steps", default=500)
@click.option("--seed", default=0)
@click.pass_context
def text(context: click.Context, steps: int, seed: int) -> None:
    """Train the text encoders to read captions."""
    from training.shapes.text import TextTrainer

    finish(context, TextTrainer(steps=steps, seed=seed), "model")


@main.command()
@click.option("--steps", default=2800)
@click.option("--batch", default=32)
@click.option("--seed", default=0)
@click.option("--scenes", default=32768, help="Scenes in the training pool.")
@click.pass_context
def transformer(context: click.Context, steps: int, batch: int, seed: int, scenes: int) -> None:
    """Train the diffusion transformer, after the autoencoder and the text encoders."""
    from diffusers import AutoencoderTiny
    from transformers import CLIPTextModel, T5EncoderModel

    from training.shapes.transformer import TransformerTrainer, pool_latents

    runs, weights = context.obj
    vae = AutoencoderTiny.from_pretrained(weights / "model" / "vae").float()
    latents = pool_latents(runs / f"latents-{seed}-{scenes}.safetensors", vae, seed, scenes, default_progress())
    encoders = (
        CLIPTextModel.from_pretrained(weights / "model" / "text_encoder").float(),
        T5EncoderModel.from_pretrained(weights / "model" / "text_encoder_2").float(),
    )
    finish(context, TransformerTrainer(latents, vae, encoders, steps=steps, batch=batch, seed=seed), "model")


POOL_HELP = "Reconstructed scenes to train on beside renders."


def _reconstructions(context: click.Context, seed: int, count: int) -> np.ndarray:
    from diffusers import AutoencoderTiny

    from training.shapes.oracle import reconstructions

    runs, weights = context.obj
    vae = AutoencoderTiny.from_pretrained(weights / "model" / "vae").float()
    return reconstructions(runs / f"reconstructions-{seed}-{count}.safetensors", vae, seed, count, default_progress())


@main.command()
@click.option("--steps", default=1350)
@click.option("--seed", default=0)
@click.option("--pool", default=4096, help=POOL_HELP)
@click.pass_context
def oracle(context: click.Context, steps: int, seed: int, pool: int) -> None:
    """Train the network that reads the truth of every cell off a picture."""
    from training.shapes.oracle import OracleTrainer

    finish(context, OracleTrainer(_reconstructions(context, seed, pool), steps=steps, seed=seed), "oracle")


@main.command()
@click.option("--steps", default=1600)
@click.option("--seed", default=0)
@click.option("--pool", default=4096, help=POOL_HELP)
@click.pass_context
def clip(context: click.Context, steps: int, seed: int, pool: int) -> None:
    """Train the image-text embedder on crops and phrases."""
    from training.shapes.clip import ClipTrainer

    finish(context, ClipTrainer(_reconstructions(context, seed, pool), steps=steps, seed=seed), "clip")


@main.command()
@click.option("--scenes", default=1600, help="Scenes whose cells are looked at.")
@click.option("--steps", default=2500)
@click.option("--seed", default=0)
@click.pass_context
def parts(context: click.Context, scenes: int, steps: int, seed: int) -> None:
    """Fit the reader of parts, after clip."""
    from diffusers import AutoencoderTiny

    from autointerp.shapes.clip import PARTS, ShapesClip
    from training.shapes.parts import fit_parts, save_parts

    folder = context.obj[1] / "clip"
    clip = ShapesClip.load(folder)
    vae = AutoencoderTiny.from_pretrained(context.obj[1] / "model" / "vae").float().eval()
    save_parts(fit_parts(clip, vae, scenes, steps, seed, default_progress()), folder / PARTS.name)
    click.echo(f"wrote {folder / PARTS.name}", err=True)


@main.command()
@click.option("--prompts", default=1000, help="Held-out captions for the diffusion model; 0 leaves it out.")
@click.option("--renders", default=500, help="Held-out renders for the other parts; 0 leaves them out.")
@click.option("--steps", type=int, default=None, help="Denoising steps.  [default: the model's own]")
@click.option("--guidance", type=float, default=None, help="True guidance.  [default: the model's own]")
@click.option("--batch", default=32, help="Pictures generated together.")
@click.option("--sheet", type=click.Path(path_type=Path), default=None, help="Write the first pictures as a PNG.")
@click.pass_context
def measure(
    context: click.Context,
    prompts: int,
    renders: int,
    steps: int | None,
    guidance: float | None,
    batch: int,
    sheet: Path | None,
) -> None:
    """Print the figures of every part on held-out scenes."""
    import json

    import torch

    from autointerp.shapes.oracle import Oracle
    from training.shapes import measure as figures

    weights = context.obj[1]
    oracle = Oracle.load(weights / "oracle")
    if renders:
        from diffusers import AutoencoderTiny

        from autointerp.labeling.evidence.cells import PartReader
        from autointerp.shapes.clip import PARTS, ShapesClip
        from training.shapes.parts import part_figures

        held_out = figures.held_out_renders(renders)
        vae = AutoencoderTiny.from_pretrained(weights / "model" / "vae").float()
        click.echo(figures.table("autoencoder", {"reconstruction": figures.autoencoder_db(vae, held_out)}, "dB"))
        click.echo(figures.table("oracle, cells right", figures.oracle_accuracy(oracle, held_out)))
        clip = ShapesClip.load(weights / "clip")
        click.echo(figures.table("shapes-clip, object crops right", figures.phrase_accuracy(clip, held_out)))
        if (weights / "clip" / PARTS.name).exists():
            reader = PartReader.load(weights / "clip" / PARTS.name, clip)
            click.echo(figures.table("parts of held-out cells", part_figures(clip, reader, held_out)))
    if prompts:
        from diffusers import FluxPipeline

        own = weights / "model" / "autointerp.json"
        defaults = json.loads(own.read_text()) if own.exists() else {}
        steps = steps or int(defaults.get("steps", 12))
        guidance = float(defaults.get("guidance", 2.5)) if guidance is None else guidance
        scenes = figures.held_out_scenes(prompts)
        pipeline = FluxPipeline.from_pretrained(weights / "model", torch_dtype=torch.float32)
        sampling = figures.Sampling(steps, guidance, batch)
        pictures = figures.generate(pipeline, [s.caption for s in scenes], sampling, default_progress())
        title = f"prompt following, {prompts} held-out captions, {steps} steps, guidance {guidance:g}"
        click.echo(figures.table(title, figures.score_pictures(oracle, pictures, scenes)))
        if sheet:
            figures.save_sheet(pictures[:64], sheet)
            click.echo(f"wrote {sheet}", err=True)


for command in (*TURBO, *VLM, refine_vlm, measure_refined, *WIDE):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="python -m training.shapes")
