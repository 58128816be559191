"""Commands of the first training of shapes-vlm, and of its figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autointerp.progress import default_progress
from training.shapes.finishing import finish

if TYPE_CHECKING:
    from training.shapes.vlm_pool import Pool


def _vlm_pool(context: click.Context, seed: int, renders: int, painted: int, held_out: bool = False) -> Pool:
    from training.shapes.vlm_pool import joined, painted_pool, rendered_pool

    runs, weights = context.obj
    path = runs / f"vlm-painted-{seed}-{int(held_out)}-{painted}.safetensors"
    pools = [rendered_pool(renders, seed, held_out)] if renders else []
    pools += [painted_pool(path, weights, painted, seed, held_out, default_progress())] if painted else []
    return joined(pools)


@click.command(context_settings={"show_default": True})
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
    finish(context, trainer, "vlm-without" if leave_out else "vlm")


@click.command(context_settings={"show_default": True})
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


VLM = (vlm, measure_vlm)
