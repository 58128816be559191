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
    like_cells,
    steered,
    steered_feature,
)
from autointerp.experiments.strengths import LADDER, choose_strength
from autointerp.web.workers.tasks import Workbench
from autointerp.web.workers.wire import Message

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.edits import Edit
    from autointerp.experiments.steering import SteeredFeature
    from autointerp.project.context import Context

AUTO = "auto"
"""In place of a strength: the smallest that brings the feature into the picture."""
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
        AutointerpError: A feature never fired, so that its strength has no unit, or no strength brings it into the
            picture.
    """
    ctx, prompt, seed = bench.reading, request["prompt"], request["seed"]
    changes = _Changes(bench, request)
    columns = [
        SteerColumn(str(number), [changes.edit(one) for one in picture])
        for number, picture in enumerate(request["pictures"])
    ]
    plain: dict[tuple[str, int], Image.Image] = bench.kept.setdefault(_PLAIN, {})
    wanted = [column for column in columns if column.edits or (prompt, seed) not in plain]
    made: dict[str, Image.Image] = {}
    with followed(bench, calls_for(ctx, len(wanted)), "painting"):
        for column, (picture,) in zip(wanted, steered(ctx, wanted, [prompt], seed), strict=True):
            made[column.caption] = picture
            if not column.edits:
                plain[prompt, seed] = picture
    while len(plain) > _MOST_PLAIN:
        del plain[next(iter(plain))]
    pictures = [made.get(column.caption, plain.get((prompt, seed))) for column in columns]
    files = {f"{number}.webp": encoded(one) for number, one in enumerate(pictures) if one is not None}
    size = list(pictures[0].size) if pictures[0] is not None else None
    return Message({"size": size, "strengths": changes.strengths}, files)


class _Changes:
    """The edits that the changes of one request mean, each made once.

    Args:
        bench: What is at hand.
        request: The request.

    Attributes:
        strengths: The strengths that were chosen, by the names of features.
    """

    def __init__(self, bench: Workbench, request: Mapping[str, Any]) -> None:
        self._bench, self._prompt, self._seed = bench, request["prompt"], request["seed"]
        mask, steps = request["mask"], request["steps"]
        self._region = EditRegion(
            None if steps is None else (steps[0], steps[1]),
            mask=None if mask is None else mask_of_cells(mask["cells"], (mask["rows"], mask["cols"])),
        )
        self._dictionaries: dict[str, Dictionary] = bench.kept.setdefault("dictionaries", {})
        self._like: dict[tuple[str, str], Edit] = {}
        self.strengths: dict[str, float] = {}

    def edit(self, change: Any) -> Edit:
        """Return the edit of one change: a feature with its strength, or cells of another prompt's picture."""
        if isinstance(change, Mapping):
            return self._cells_of(change["like"], change["layer"])
        return self._of_feature(*change)

    def _of_feature(self, name: str, strength: float | str | None) -> Edit:
        """Return the edit of one feature: a strength is added, None takes the feature away, `auto` is chosen."""
        ctx = self._bench.reading
        one = steered_feature(ctx, name)
        self._region.check(one.layer, ctx.generation.steps)
        key = f"{one.row.name} {one.row.weights_sha256}"
        if key not in self._dictionaries:
            self._dictionaries[key] = dictionary_of(ctx, one)
        dictionary = self._dictionaries[key]
        _ = strength is None or one.unit
        if strength == AUTO:
            strength = self._chosen(one, dictionary)
        strengths = () if strength is None else (float(strength),)
        ((_, change),) = changes_of(dictionary, one.feature, strengths, ablate=strength is None)
        return edit_of(one.layer, change, self._region)

    def _chosen(self, one: SteeredFeature, dictionary: Dictionary) -> float:
        """Return the smallest strength that brings a feature into the picture, as `autointerp steer` chooses it."""
        if one.name not in self.strengths:
            ctx = self._bench.reading
            # Each of the pictures is read again at the steps that are harvested.
            calls = calls_for(ctx, len(LADDER)) + len(LADDER) * len(ctx.capture_steps)
            with followed(self._bench, calls, "choosing the strength"):
                chosen = choose_strength(ctx, one, dictionary, self._region, [self._prompt], self._seed)
            self.strengths[one.name] = chosen.strength
        return self.strengths[one.name]

    def _cells_of(self, prompt: str, layer: str) -> Edit:
        """Return the edit that puts the activations of another prompt's picture into the cells."""
        if (prompt, layer) not in self._like:
            ctx = self._bench.reading
            at = ctx.layer(layer, "image")
            self._region.check(at, ctx.generation.steps)
            with followed(self._bench, calls_for(ctx, 1), "painting the other picture"):
                self._like[prompt, layer] = like_cells(ctx, at, self._region, prompt, self._seed)
        return self._like[prompt, layer]


def calls_for(ctx: Context, pictures: int) -> int:
    """Return how many calls of the denoiser a number of pictures takes, which are generated in batches."""
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.passes import Pass

    branches = Pass(ctx.model, (ImageJob(0, "", 0),), ctx.generation).branches
    return -(-pictures // ctx.settings.batch_size) * ctx.generation.steps * branches


@contextmanager
def followed(bench: Workbench, calls: int, what: str) -> Iterator[None]:
    """Report each call of the denoiser inside. A stop waits for the next call of a part of the model.

    So it comes where a picture is made, and never between two hooks that are set or removed.
    """
    from torch.nn.modules.module import register_module_forward_pre_hook

    model = bench.reading.model
    with bench.stops.held_back(), bench.progress.task(what, calls, unit="step") as bar:
        hooks = [
            register_module_forward_pre_hook(lambda *_: bench.stops.check()),
            model.denoiser.register_forward_hook(lambda *_: bar.advance()),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def encoded(picture: Image.Image) -> bytes:
    """Return a picture as WebP, small ones without loss, and none with a side above 1024 pixels."""
    from PIL import Image, ImageOps

    if max(picture.size) > _LONGEST:
        picture = ImageOps.contain(picture, (_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "WEBP", lossless=max(picture.size) <= _SMALL, quality=92, method=2)
    return buffer.getvalue()
