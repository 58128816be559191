"""`python -m autointerp.shapes.train PART`: train one part of the shapes world, or measure them all."""

from __future__ import annotations

from pathlib import Path

import click

from autointerp.progress import default_progress

WEIGHTS = Path(__file__).parent.parent / "weights"


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


def _finish(context: click.Context, trainer, subfolder: str) -> None:
    from autointerp.shapes.train.loop import train

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
    from autointerp.shapes.train.autoencoder import AutoencoderTrainer

    _finish(context, AutoencoderTrainer(steps=steps, seed=seed), "model/vae")


@main.command()
@click.option("--steps", default=500)
@click.option("--seed", default=0)
@click.pass_context
def text(context: click.Context, steps: int, seed: int) -> None:
    """Train the text encoders to read captions."""
    from autointerp.shapes.train.text import TextTrainer

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

    from autointerp.shapes.train.transformer import TransformerTrainer, pool_latents

    runs, weights = context.obj
    vae = AutoencoderTiny.from_pretrained(weights / "model" / "vae").float()
    latents = pool_latents(runs / f"latents-{seed}-{scenes}.safetensors", vae, seed, scenes, default_progress())
    encoders = (
        CLIPTextModel.from_pretrained(weights / "model" / "text_encoder").float(),
        T5EncoderModel.from_pretrained(weights / "model" / "text_encoder_2").float(),
    )
    _finish(context, TransformerTrainer(latents, vae, encoders, steps=steps, batch=batch, seed=seed), "model")


POOL_HELP = "Reconstructed scenes to train on beside renders."


def _reconstructions(context: click.Context, seed: int, count: int):
    from diffusers import AutoencoderTiny

    from autointerp.shapes.train.oracle import reconstructions

    runs, weights = context.obj
    vae = AutoencoderTiny.from_pretrained(weights / "model" / "vae").float()
    return reconstructions(runs / f"reconstructions-{seed}-{count}.safetensors", vae, seed, count, default_progress())


@main.command()
@click.option("--steps", default=1800)
@click.option("--seed", default=0)
@click.option("--pool", default=4096, help=POOL_HELP)
@click.pass_context
def oracle(context: click.Context, steps: int, seed: int, pool: int) -> None:
    """Train the network that reads the truth of every cell off a picture."""
    from autointerp.shapes.train.oracle import OracleTrainer

    _finish(context, OracleTrainer(_reconstructions(context, seed, pool), steps=steps, seed=seed), "oracle")


@main.command()
@click.option("--steps", default=1600)
@click.option("--seed", default=0)
@click.option("--pool", default=4096, help=POOL_HELP)
@click.pass_context
def clip(context: click.Context, steps: int, seed: int, pool: int) -> None:
    """Train the image-text embedder on crops and phrases."""
    from autointerp.shapes.train.clip import ClipTrainer

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
    from autointerp.shapes.train.parts import fit_parts, save_parts

    folder = context.obj[1] / "clip"
    clip = ShapesClip.load(folder)
    vae = AutoencoderTiny.from_pretrained(context.obj[1] / "model" / "vae").float().eval()
    save_parts(fit_parts(clip, vae, scenes, steps, seed, default_progress()), folder / PARTS.name)
    click.echo(f"wrote {folder / PARTS.name}", err=True)


def _vlm_pool(context: click.Context, seed: int, renders: int, painted: int, held_out: bool = False):
    from autointerp.shapes.train.vlm_pool import joined, painted_pool, rendered_pool

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
    from autointerp.shapes.train.vlm import VlmTrainer
    from autointerp.shapes.train.vlm_pool import LEFT_OUT

    pool = _vlm_pool(context, seed, renders, painted)
    pool = pool.without(LEFT_OUT) if leave_out else pool
    trainer = VlmTrainer(pool, steps=steps, looking=looking, seed=seed, progress=default_progress())
    if leave_out:
        runs, _ = context.obj
        context.obj = (runs / "vlm-without", runs)
    _finish(context, trainer, "vlm-without" if leave_out else "vlm")


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
    from autointerp.shapes.train import measure as figures

    weights = context.obj[1]
    oracle = Oracle.load(weights / "oracle")
    if renders:
        from diffusers import AutoencoderTiny

        from autointerp.labeling.cells import PartReader
        from autointerp.shapes.clip import PARTS, ShapesClip
        from autointerp.shapes.train.parts import part_figures

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
        pictures = figures.generate(pipeline, [s.caption for s in scenes], steps, guidance, batch, default_progress())
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
    from autointerp.shapes.train.measure import table
    from autointerp.shapes.train.vlm_measure import judging_figures, naming_figures
    from autointerp.shapes.train.vlm_pool import LEFT_OUT
    from autointerp.shapes.vlm import load_shapes_vlm

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


if __name__ == "__main__":
    main(prog_name="python -m autointerp.shapes.train")
