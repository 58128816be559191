"""`python -m training.shapes PART`: train one part of the shapes world, or measure them all."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autointerp.progress import default_progress
from training.shapes.refine.commands import measure_refined, refine_vlm

if TYPE_CHECKING:
    import numpy as np

    from training.shapes.loop import Training
    from training.shapes.vlm_pool import Pool
    from training.shapes.wide.pool import WidePool

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


def _finish(context: click.Context, trainer: Training, subfolder: str) -> None:
    from training.shapes.loop import train

    runs, weights = context.obj
    train(trainer, runs, default_progress())
    trainer.save(weights / subfolder)
    click.echo(f"wrote {weights / subfolder}", err=True)


@main.command()
@click.option("--steps", default=2000)
@click.option("--seed", default=0)
@click.pass_context
def autoencoder(context: click.Context, steps: int, seed: int) -> None:
    """Train the autoencoder of the diffusion model."""
    from training.shapes.autoencoder import AutoencoderTrainer

    _finish(context, AutoencoderTrainer(steps=steps, seed=seed), "model/vae")


@main.command()
@click.option("--steps", default=500)
@click.option("--seed", default=0)
@click.pass_context
def text(context: click.Context, steps: int, seed: int) -> None:
    """Train the text encoders to read captions."""
    from training.shapes.text import TextTrainer

    _finish(context, TextTrainer(steps=steps, seed=seed), "model")


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
    _finish(context, TransformerTrainer(latents, vae, encoders, steps=steps, batch=batch, seed=seed), "model")


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

    _finish(context, OracleTrainer(_reconstructions(context, seed, pool), steps=steps, seed=seed), "oracle")


@main.command()
@click.option("--steps", default=1600)
@click.option("--seed", default=0)
@click.option("--pool", default=4096, help=POOL_HELP)
@click.pass_context
def clip(context: click.Context, steps: int, seed: int, pool: int) -> None:
    """Train the image-text embedder on crops and phrases."""
    from training.shapes.clip import ClipTrainer

    _finish(context, ClipTrainer(_reconstructions(context, seed, pool), steps=steps, seed=seed), "clip")


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


def _vlm_pool(context: click.Context, seed: int, renders: int, painted: int, held_out: bool = False) -> Pool:
    from training.shapes.vlm_pool import joined, painted_pool, rendered_pool

    runs, weights = context.obj
    path = runs / f"vlm-painted-{seed}-{int(held_out)}-{painted}.safetensors"
    pools = [rendered_pool(renders, seed, held_out)] if renders else []
    pools += [painted_pool(path, weights, painted, seed, held_out, default_progress())] if painted else []
    return joined(pools)


@main.command()
@click.option("--steps", default=26_850, help="Steps in all.")
@click.option("--looking", default=6000, help="Of these, the first ones, which teach the eyes alone.")
@click.option("--seed", default=0)
@click.option("--renders", default=3072, help="Renders to train on.")
@click.option("--painted", default=4096, help="Pictures of the diffusion model to train on.")
@click.option("--leave-out", is_flag=True, help="Train without one colour, one texture and four pairs, in vlm-without.")
@click.pass_context
def vlm(
    context: click.Context, steps: int, looking: int, seed: int, renders: int, painted: int, leave_out: bool
) -> None:
    """Train the vision-language model that labels and judges, after clip, transformer and oracle."""
    from training.shapes.vlm import Schedule, VlmTrainer
    from training.shapes.vlm_pool import LEFT_OUT

    pool = _vlm_pool(context, seed, renders, painted)
    pool = pool.without(LEFT_OUT) if leave_out else pool
    trainer = VlmTrainer(pool, Schedule(steps, looking), seed=seed, progress=default_progress())
    if leave_out:
        runs, _ = context.obj
        context.obj = (runs / "vlm-without", runs)
    _finish(context, trainer, "vlm-without" if leave_out else "vlm")


def _words_pool(context: click.Context, seed: int, wide: int, own: int, painted: int) -> WidePool:
    from training.shapes.wide.pool import STEPS, WidePool, generated_pool, wide_pool, world_pool

    runs, weights = context.obj
    pools = [wide_pool(wide, seed, folder=runs, progress=default_progress()), world_pool(own, seed)]
    for model in STEPS:
        pools.append(generated_pool(runs, weights, model, painted, seed, progress=default_progress()))
    return WidePool.joined(pools)


@main.command()
@click.option("--steps", default=20_000, help="Steps in all.")
@click.option("--seed", default=0)
@click.option("--wide", default=10_240, help="Renders of the wider world to train on.")
@click.option("--own", default=2048, help="Renders of the world to train on.")
@click.option("--painted", default=3072, help="Pictures of each diffusion model to train on.")
@click.pass_context
def vlm_eyes(context: click.Context, steps: int, seed: int, wide: int, own: int, painted: int) -> None:
    """Teach the eyes of shapes-vlm the words of a wider world, from the shipped weights on."""
    from training.shapes.loop import train
    from training.shapes.wide.eyes import EyesTrainer, shipped_eyes

    runs, weights = context.obj
    trainer = EyesTrainer(
        _words_pool(context, seed, wide, own, painted), shipped_eyes(weights / "vlm"), steps, seed=seed
    )
    train(trainer, runs, default_progress())
    trainer.save(runs / "vlm-eyes")
    click.echo(f"wrote {runs / 'vlm-eyes'}", err=True)


@main.command()
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
    from training.shapes.wide.pool import STEPS, generated_pool, wide_pool, world_pool

    runs, weights = context.obj
    pools = {"renders of the wider world": wide_pool(renders, seed, True), "renders": world_pool(256, seed, True)}
    pools |= {f"pictures of {model}": generated_pool(runs, weights, model, 512, seed, True) for model in STEPS}
    for sort, pool in pools.items():
        trainer = EyesTrainer(pool, shipped_eyes(weights / "vlm"), seed=seed)
        done = load_checkpoint(runs, trainer)
        click.echo(table(f"eyes after {done} steps, {sort}", eyes_figures(trainer, views, seed), ""))


PAIRS_HELP = "Training captions that the diffusion model is run on; those that come out right are the pairs."


@main.command()
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


@main.command()
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


@main.command()
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


@main.command()
@click.option("--questions", default=200, help="Questions of each sort, on each sort of pictures.")
@click.option("--renders", default=1000, help="Held-out renders; 0 leaves them out.")
@click.option("--painted", default=256, help="Held-out pictures of the diffusion model; 0 leaves them out.")
@click.option("--left-out", is_flag=True, help="Ask only about what `vlm --leave-out` never saw.")
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="The model.  [default: the weights']")
@click.option("--seed", default=1000)
@click.pass_context
def measure_vlm(
    context: click.Context,
    questions: int,
    renders: int,
    painted: int,
    left_out: bool,
    folder: Path | None,
    seed: int,
) -> None:
    """Print how well shapes-vlm names and judges, on held-out renders and on generated pictures."""
    from autointerp.shapes.vlm import load_shapes_vlm
    from training.shapes.measure import table
    from training.shapes.vlm_measure import judging_figures, naming_figures
    from training.shapes.vlm_pool import LEFT_OUT

    vlm = load_shapes_vlm(folder or context.obj[1] / "vlm")
    about = LEFT_OUT if left_out else ()
    for sort, sizes in (("renders", (renders, 0)), ("generated pictures", (0, painted))):
        if not any(sizes):
            continue
        pool = _vlm_pool(context, seed, *sizes, held_out=True)
        click.echo(table(f"naming, {sort}", naming_figures(vlm, pool, questions, seed, about)))
        for batch, marked in ((1, False), (8, False), (1, True), (8, True)):
            figures = judging_figures(vlm, pool, questions, batch, marked, seed, about)
            click.echo(table(f"judging {'marks' if marked else 'pictures'}, {batch} a request, {sort}", figures))


for command in (refine_vlm, measure_refined):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="python -m training.shapes")
