"""The task `paint`: pictures of one prompt and seed, each under features of its own that are changed meanwhile."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autointerp.experiments.regions import EditRegion, mask_of_cells
from autointerp.experiments.steering import (
    SteerColumn,
    changes_of,
    dictionary_of,
    edit_of,
    steered,
    steered_feature,
)
from autointerp.web.workers.tasks import Workbench
from autointerp.web.workers.wire import Message

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.edits import Edit
    from autointerp.project.context import Context

_PLAIN = "plain pictures"
"""The key of pictures without a change, which the next request often needs again."""
_MOST_PLAIN = 16
_LONGEST = 1024
"""Pixels that a page shows of a side, at most."""
_SMALL = 256
"""A picture of at most this side is sent without loss."""


def warm(bench: Workbench, _request: Mapping[str, Any]) -> Message:
    """Load the model, so that the first picture does not wait for it."""
    _ = bench.reading.model
    return Message({})


def paint(bench: Workbench, request: Mapping[str, Any]) -> Message:
    """Generate the pictures of a request, many in a batch; see `web.pages.steer.PaintRequest` for its keys.

    Raises:
        UsageError: A feature does not exist, or the steps or the mask do not fit its layer.
        AutointerpError: A feature never fired, so that its strength has no unit.
    """
    ctx, mask, steps = bench.reading, request["mask"], request["steps"]
    prompt, seed = request["prompt"], request["seed"]
    region = EditRegion(
        None if steps is None else (steps[0], steps[1]),
        mask=None if mask is None else mask_of_cells(mask["cells"], (mask["rows"], mask["cols"])),
    )
    dictionaries: dict[str, Dictionary] = bench.kept.setdefault("dictionaries", {})
    columns = [
        SteerColumn(str(number), [_edit(ctx, dictionaries, name, strength, region) for name, strength in changes])
        for number, changes in enumerate(request["pictures"])
    ]
    plain: dict[tuple[str, int], Image.Image] = bench.kept.setdefault(_PLAIN, {})
    wanted = [column for column in columns if column.edits or (prompt, seed) not in plain]
    made: dict[str, Image.Image] = {}
    with followed(ctx, len(wanted)):
        for column, (picture,) in zip(wanted, steered(ctx, wanted, [prompt], seed), strict=True):
            made[column.caption] = picture
            if not column.edits:
                plain[prompt, seed] = picture
    while len(plain) > _MOST_PLAIN:
        del plain[next(iter(plain))]
    pictures = [made.get(column.caption, plain.get((prompt, seed))) for column in columns]
    files = {f"{number}.webp": encoded(one) for number, one in enumerate(pictures) if one is not None}
    return Message({"size": list(pictures[0].size) if pictures[0] is not None else None}, files)


def _edit(
    ctx: Context, dictionaries: dict[str, Dictionary], name: str, strength: float | None, region: EditRegion
) -> Edit:
    """Return the edit of one feature: a strength is added, None takes the feature away."""
    one = steered_feature(ctx, name)
    region.check(one.layer, ctx.generation.steps)
    if one.row.name not in dictionaries:
        dictionaries[one.row.name] = dictionary_of(ctx, one)
    _ = strength is None or one.unit
    strengths = () if strength is None else (strength,)
    ((_, change),) = changes_of(dictionaries[one.row.name], one.feature, strengths, ablate=strength is None)
    return edit_of(one.layer, change, region)


@contextmanager
def followed(ctx: Context, pictures: int) -> Iterator[None]:
    """Report each call of the denoiser inside, of a number of pictures that are generated in batches."""
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.passes import Pass

    batches = -(-pictures // ctx.settings.batch_size)
    branches = Pass(ctx.model, (ImageJob(0, "", 0),), ctx.generation).branches
    with ctx.progress.task("painting", batches * ctx.generation.steps * branches, unit="step") as bar:
        hook = ctx.model.denoiser.register_forward_hook(lambda *_: bar.advance())
        try:
            yield
        finally:
            hook.remove()


def encoded(picture: Image.Image) -> bytes:
    """Return a picture as WebP, small ones without loss, and none with a side above 1024 pixels."""
    from PIL import Image, ImageOps

    if max(picture.size) > _LONGEST:
        picture = ImageOps.contain(picture, (_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "WEBP", lossless=max(picture.size) <= _SMALL, quality=92, method=2)
    return buffer.getvalue()
