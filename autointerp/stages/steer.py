"""`steer`: what becomes of a picture when a feature is made stronger, weaker, or is taken away."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.crops.panel import Panel, before_after
from autointerp.db import queries
from autointerp.db.models import Dictionary, Feature
from autointerp.errors import AutointerpError, UsageError
from autointerp.stages.context import Context
from autointerp.stages.read import find_feature

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.dictionaries.protocol import Dictionary as AnyDictionary
    from autointerp.diffusion.edit import CellBox, Change, ReadFeature
    from autointerp.diffusion.layers import Layer

STRENGTH = 4.0
"""How much of a feature is added if nobody says: in units of its mean activation where it fires."""


@dataclass(frozen=True)
class SteerRequest:
    """What is done to a feature, and on which pictures.

    `strengths` are in units of the feature's mean activation where it fires: a picture each, after the one without
    any; `ablate` adds one without the feature. `steps` are 0-based (first, end), end exclusive; `box` is in cells, ends
    exclusive; None is all of them. `seed` is that of every picture; None is the workspace's.
    """

    prompts: tuple[str, ...]
    strengths: tuple[float, ...] = ()
    ablate: bool = False
    steps: tuple[int, int] | None = None
    box: CellBox | None = None
    seed: int | None = None


def parse_steps(text: str | None, total: int) -> tuple[int, int] | None:
    """Steps written `A:B`, 0-based, B exclusive; either may be left out, as in a slice of Python.

    Raises:
        UsageError: They are not written so, or are not among the `total` steps.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d*):(\d*)", text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no range of steps", f"write A:B, e.g. 0:{max(total // 2, 1)}")
    first, end = int(found[1] or 0), int(found[2] or total)
    if not 0 <= first < end <= total:
        raise UsageError(f"the steps {text} are not among the {total} steps", f"all of them are 0:{total}")
    return first, end


def parse_box(text: str | None) -> CellBox | None:
    """A box of cells written `R0,C0,R1,C1`.

    Raises:
        UsageError: It is not written so.
    """
    if text is None:
        return None
    numbers = text.split(",")
    if len(numbers) != 4 or not all(n.strip().isdecimal() for n in numbers):
        raise UsageError(f"{text!r} is no box of cells", "write R0,C0,R1,C1, ends exclusive, e.g. 0,0,6,6")
    top, left, bottom, right = map(int, numbers)
    return top, left, bottom, right


def read_latent(dictionary: AnyDictionary, latent: int) -> ReadFeature:
    """What gives a latent's activation: activations [n, d_in] and a step to float32 [n]."""

    def read(acts: Any, step: int) -> Any:
        code = dictionary.encode(acts, step)
        # Unused slots hold act 0, so index 0 in them does no harm.
        return (code.latent_acts * (code.latent_indices == latent)).sum(1)

    return read


def changes_of(
    dictionary: AnyDictionary, feature: Feature, strengths: Sequence[float], ablate: bool
) -> list[tuple[str, Change]]:
    """What is done to a feature that fires, a caption and a change each.

    A strength adds so many mean activations of the feature in every cell, whether it fires there or not: suppressed
    where it fires alone, a concept comes back by the features beside it.
    """
    from autointerp.diffusion.edit import add_vector, scale_feature

    latent, unit = feature.latent_index, feature.mean_activation
    direction = dictionary.directions[latent]
    changes = [(f"strength {s:+g}", add_vector(s * unit * direction)) for s in strengths]
    ablated = scale_feature(read_latent(dictionary, latent), direction, 0.0)
    return changes + ([("without the feature", ablated)] if ablate else [])


def steered(
    ctx: Context, layer: Layer, changes: Sequence[Change | None], request: SteerRequest
) -> Iterator[list[Image.Image]]:
    """The pictures of all prompts under each change, None for none.

    Raises:
        UsageError: Steps or box do not fit.
    """
    from autointerp.diffusion.edit import Edit
    from autointerp.diffusion.generation import ImageJob, generate

    seed = ctx.settings.seed if request.seed is None else request.seed
    steps = None if request.steps is None else range(*request.steps)
    jobs = [ImageJob(i, prompt, seed) for i, prompt in enumerate(request.prompts)]
    for change in changes:
        edits = [] if change is None else [Edit(layer, change, steps, request.box)]
        made = generate(ctx.model, jobs, ctx.generation, batch_size=ctx.settings.batch_size, edits=edits)
        yield [picture for _, pictures in made for picture in pictures]


def steer_feature(ctx: Context, name: str, request: SteerRequest) -> Image.Image:
    """Pictures before and after, side by side, a row a prompt.

    Raises:
        UsageError: There is no such feature, or strength, steps or box cannot be.
        AutointerpError: The feature never fired.
    """
    row, feature = find_feature(ctx, name)
    layer = ctx.layer_of(row)
    _check(ctx, layer, request)
    strengths = request.strengths or (() if request.ablate else (STRENGTH,))
    if strengths and not feature.mean_activation > 0:
        raise AutointerpError(
            f"{name} never fired, so there is no unit for its strength", "name a live feature, or harvest more images"
        )
    from autointerp.dictionaries.storage import load_dictionary

    dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name)).to(ctx.model.device)
    changes = changes_of(dictionary, feature, strengths, request.ablate)
    columns: list[list[Image.Image]] = []
    count = len(request.prompts)
    with ctx.progress.task(f"steer {name}", count * (1 + len(changes)), unit="image") as bar:
        for pictures in steered(ctx, layer, [None, *(change for _, change in changes)], request):
            columns.append(pictures)
            bar.advance(count)
    captions = ["before", *(caption for caption, _ in changes)]
    rows = [
        (prompt, [Panel(caption, column[i]) for caption, column in zip(captions, columns, strict=True)])
        for i, prompt in enumerate(request.prompts)
    ]
    mask = None
    if request.box is not None and layer.stream == "image":
        from autointerp.diffusion.edit import box_mask

        mask = box_mask(request.box, layer).numpy()
    return before_after(rows, _heading(ctx, row, feature), _note(ctx, layer, feature, request), mask)


def _check(ctx: Context, layer: Layer, request: SteerRequest) -> None:
    """Refuse what cannot be done before a model is loaded."""
    from autointerp.diffusion.edit import box_mask

    if not request.prompts:
        raise UsageError("there is no prompt", "give one with --prompt")
    for strength in request.strengths:
        if not math.isfinite(strength):
            raise UsageError(f"a strength of {strength} cannot be", "give a number, such as 4 or -2")
    if request.steps is not None:
        first, end = request.steps
        parse_steps(f"{first}:{end}", ctx.generation.steps)
    if request.box is not None:
        box_mask(request.box, layer)


def _heading(ctx: Context, row: Dictionary, feature: Feature) -> str:
    with ctx.db.session() as session:
        best = queries.best_labels(session, row.id, feature_ids=[feature.id]).get(feature.id)
        named = best.label.name if best is not None else "no label"
    return f"{named}  ({row.name}:{feature.latent_index})"


def _note(ctx: Context, layer: Layer, feature: Feature, request: SteerRequest) -> str:
    """What a reader must know to make the pictures again."""
    total = ctx.generation.steps
    first, end = request.steps or (0, total)
    parts = [
        f"{layer.name} of {Path(ctx.description.name).name}",
        f"steps {first}:{end} of {total}",
        "all cells" if request.box is None else f"cells {','.join(map(str, request.box))}",
        f"seed {ctx.settings.seed if request.seed is None else request.seed}",
    ]
    if feature.mean_activation > 0:
        parts.append(f"strength 1 = its mean activation {feature.mean_activation:.3g}")
    return ", ".join(parts)


def writer(path: Path) -> Callable[[Image.Image], Path]:
    """What writes a picture to `path`, which is looked at at once: nothing is generated for a file that cannot be.

    Raises:
        UsageError: It is a folder, lies in none, or is not named as a PNG.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a PNG file in it")
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is not named as a PNG", f"write {path.with_suffix('.png').name}")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "make it, or name another one")

    def write(picture: Image.Image) -> Path:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True)
        try:
            path.write_bytes(buffer.getvalue())
        except OSError as error:
            raise AutointerpError(f"cannot write {path}: {error.strerror or error}", "name another file") from None
        return path

    return write
