"""Which model, number of steps, step, layer and signal give the truest dictionaries: the table of docs/shapes.md.

    python -m benchmarks.few_steps -o DIR

Each dictionary is a TopK of the model's default size, fitted with another seed to the same images. A feature is active
above a quarter of its maximum, a share that is fixed and not chosen. Its truth is read on held-out images. The control
takes as many activations of the layer as directions and reads them with the same k: what is true of these needs no
dictionary. Finished settings are kept in DIR and not measured again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from autointerp.crops.records import ACTIVE_SHARE
from autointerp.diffusion.layers import resolve_layer
from autointerp.project.context import Context
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.concepts import concept_masks
from autointerp.shapes.truth import feature_truths
from autointerp.shapes.verdict import Collected

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.layers import Layer


@dataclass(frozen=True)
class Painting:
    """A model and how it paints."""

    model: str
    steps: int
    guidance: float


PAINTINGS = (
    Painting("shapes", 8, 2.5),
    Painting("shapes", 4, 1.5),
    Painting("shapes-turbo", 1, 1.0),
    Painting("shapes-turbo", 2, 1.0),
    Painting("shapes-turbo", 4, 1.0),
)


@dataclass(frozen=True)
class Figure:
    """The dictionaries of one step, layer and signal: shares of features with a specific truth, one a seed."""

    model: str
    steps: int
    guidance: float
    layer: str
    signal: str
    step: int
    specific: tuple[float, ...]
    activations: tuple[float, ...]
    """The same shares of as many activations taken as directions."""

    @property
    def above(self) -> np.ndarray:
        """The dictionaries' shares less those of the activations, float64 [seeds]."""
        return np.array(self.specific) - np.array(self.activations)


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of finished figures.")
@click.option("--seeds", default=5, help="Seeds of each fit.")
@click.option("--fit-images", default=800, help="Images that a dictionary is fitted on.")
@click.option("--images", default=500, help="Held-out images that truth is read on.")
@click.option("--layer", "layers", multiple=True, default=("mid", "late"), help="Layers.")
@click.option("--signal", "signals", multiple=True, default=("update", "output"), help="Signals.")
@click.option("--last", is_flag=True, help="The last step alone.")
@click.option(
    "--painting", "chosen", multiple=True, help="Model and steps, as in shapes:8; else all that are compared."
)
def main(
    out: Path, layers: tuple[str, ...], signals: tuple[str, ...], last: bool, chosen: tuple[str, ...], **counts: int
) -> None:
    """Print the share of true features by model, steps, step, layer and signal."""
    out.mkdir(parents=True, exist_ok=True)
    figures, seeds = [], counts["seeds"]
    for painting in paintings_named(chosen):
        steps = [painting.steps - 1] if last else sorted({0, painting.steps // 2, painting.steps - 1})
        file = out / f"{painting.model}.{painting.steps}.json"
        known = [read_figure(one) for one in json.loads(file.read_text())] if file.is_file() else []
        places = [(layer, signal, step) for layer in layers for signal in signals for step in steps]
        done = {(one.layer, one.signal, one.step) for one in known if len(one.specific) >= seeds}
        if missing := [place for place in places if place not in done]:
            click.echo(f"{painting.model}, {painting.steps} steps: {len(missing)} places", err=True)
            for one in measured(painting, missing, range(seeds), counts["fit_images"], counts["images"]):
                known.append(one)
                file.write_text(json.dumps([asdict(figure) for figure in known], indent=1))
        figures += known
    click.echo(table(figures))


def paintings_named(names: Sequence[str]) -> Sequence[Painting]:
    """Return the paintings of given names, such as shapes:8; all where no name is given.

    Raises:
        click.BadParameter: A name is that of no painting.
    """
    known = {f"{one.model}:{one.steps}": one for one in PAINTINGS}
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{unknown[0]!r} is not among {', '.join(known)}", param_hint="--painting")
    return [known[name] for name in names] or PAINTINGS


def read_figure(values: dict[str, Any]) -> Figure:
    """Return a figure that was kept as JSON."""
    shares = {name: tuple(values[name]) for name in ("specific", "activations")}
    return Figure(**{**values, **shares})


def measured(
    painting: Painting, places: Sequence[tuple[str, str, int]], seeds: Sequence[int], fit_images: int, images: int
) -> Any:
    """Yield the figure of each place, a layer, signal and step, from one pass over the images."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_values(
            {"model": painting.model, "steps": painting.steps, "guidance": painting.guidance, "images": fit_images}
        )
        ctx = Context(WorkspaceFolder.create(Path(folder) / "w", settings))
        defaults = ctx.description.defaults
        held_out = ctx.prompts.held_out(images, 0, fit_images)
        trained, _ = collected(ctx, places, ctx.jobs(0, fit_images), truth=False)
        read, cells = collected(ctx, places, held_out, truth=True)
        concepts, masks = concept_masks(cells)
        for layer, signal, step in places:
            place = (layer, signal, step)
            acts, held = trained[place], read[place]
            shares: dict[str, list[float]] = {"own": [], "activations": []}
            for seed in seeds:
                latents = defaults.expansion * acts.shape[1]
                k = defaults.k or 12
                own = fitted(acts, latents, k, defaults.passes, seed, step)
                grid = ctx.layer(layer).grid
                for name, dictionary in (("own", own), ("activations", directions_of(acts, latents, k, seed))):
                    seen = Collected(latents)
                    seen.add(dictionary.encode(held), 0)
                    firing = seen.firing()
                    active = firing.active(ACTIVE_SHARE, np.ones(images, bool), grid)
                    truths = feature_truths(active, concepts, masks)
                    shares[name].append(sum(t is not None and t.concept.specific for t in truths) / latents)
                click.echo(f"  {place} seed {seed}: {shares['own'][-1]:.3f} {shares['activations'][-1]:.3f}", err=True)
            yield Figure(
                painting.model, painting.steps, painting.guidance, *place, tuple(shares["own"]),
                tuple(shares["activations"]),
            )  # fmt: skip


def collected(
    ctx: Context, places: Sequence[tuple[str, str, int]], jobs: Sequence[Any], truth: bool
) -> tuple[dict[tuple[str, str, int], torch.Tensor], dict[str, np.ndarray]]:
    """Generate images once; return the activations [n, d_in] of each place, and what is true of the images' cells."""
    import torch

    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.generation import generate
    from autointerp.shapes.oracle import Oracle

    layers: dict[Layer, tuple[str, str]] = {
        resolve_layer(ctx.description, layer, signal): (layer, signal) for layer, signal, _ in places
    }
    acts: dict[tuple[str, str, int], list[torch.Tensor]] = {place: [] for place in places}

    def keep(captured: LayerActivations) -> None:
        place = (*layers[captured.layer], captured.step)
        if place in acts:
            acts[place].append(captured.acts.reshape(-1, captured.layer.d_in).to("cpu", torch.float32, copy=True))

    oracle, read = (Oracle.load() if truth else None), []
    steps = sorted({step for _, _, step in places})
    with torch.inference_mode():
        for _, pictures in generate(
            ctx.model, jobs, ctx.generation, capture=Capture(list(layers), steps, keep), decode=truth
        ):
            if oracle is not None:
                read.append(oracle.read(pictures))
    cells = {name: np.concatenate([one[name] for one in read]) for name in read[0]} if read else {}
    return {place: torch.cat(parts) for place, parts in acts.items()}, cells


def fitted(acts: torch.Tensor, latents: int, k: int, passes: int, seed: int, step: int) -> Dictionary:
    """Fit a TopK dictionary to activations [n, d_in] of one step."""
    import torch

    from autointerp.dictionaries.fitting import FitConfig, make_trainer
    from autointerp.dictionaries.rounds import Round

    places = torch.zeros(len(acts), 4, dtype=torch.int64)
    places[:, 0], places[:, 1] = torch.arange(len(acts)), step
    config = FitConfig("topk", latents, k, len(acts), 1, (step,), seed, {"passes": passes})
    trainer = make_trainer(config, acts.shape[1])
    trainer.train_round(Round(acts, places))
    return trainer.dictionary()


def directions_of(acts: torch.Tensor, latents: int, k: int, seed: int) -> Dictionary:
    """Take random ones of the activations [n, d_in], in normalised space, as directions that are read by TopK."""
    import torch

    from autointerp.dictionaries.normalize import Normalization
    from autointerp.dictionaries.sae import TopK

    normal = Normalization.measure(acts)
    chosen = torch.randperm(len(acts), generator=torch.Generator().manual_seed(seed))[:latents]
    unit = torch.nn.functional.normalize(normal.apply(acts[chosen]), dim=1)
    zero = torch.zeros
    w_enc, b_enc, w_dec, b_dec = normal.fold(unit.T, zero(latents), unit, zero(acts.shape[1]))
    return TopK(w_enc.contiguous(), b_enc, w_dec.contiguous(), b_dec, k)


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table: mean over the seeds, and the standard deviation in brackets."""
    lines = ["| model | steps | guidance | layer | signal | step | specific | activations | difference |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for one in figures:
        shares = [np.array(one.specific), np.array(one.activations), one.above]
        shown = [f"{100 * share.mean():.1f}% ({100 * share.std(ddof=min(1, len(share) - 1)):.1f})" for share in shares]
        where = (one.model, one.steps, one.guidance, one.layer, one.signal, one.step)
        lines.append("| " + " | ".join([*map(str, where), *shown]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
