"""Word maps: where in a picture the model attends to each word of the prompt.

A word's map is the attention of the image tokens to the word's tokens, averaged over heads, layers and denoising steps,
as in DAAM (arXiv 2210.04885) for U-Nets, and in the same way for transformers whose attention is over text and image
together. Only the conditional half of guidance is read. Hooks look on: pictures with and without them are the same bit
for bit, because attention is computed apart (see `families.word_attention`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.diffusion.words import TokenWords, Word, WordReader, attention_of
from autointerp.errors import AutointerpError
from autointerp.sizes import sides

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.calls import Calls
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.passes import Pass


@dataclass(frozen=True)
class WordMaps:
    """The word maps of one picture.

    Attributes:
        words: The words that the model reads, in the order of the prompt.
        maps: Mean attention to each word's tokens, float32 [words, rows, cols], not negative, on the finest grid on
            which the model attends to the text. An even share of all attention is 1 / (tokens attended to).
    """

    words: tuple[Word, ...]
    maps: np.ndarray

    def at(self, grid: tuple[int, int]) -> np.ndarray:
        """Return the maps on another grid, float32 [words, rows, cols]: means where it is coarser, else smooth."""
        if not len(self.maps) or self.maps.shape[1:] == grid:
            return self.maps
        return resized(self.maps, grid)


WordConsumer = Callable[["ImageJob", WordMaps], None]
"""(a picture, its word maps) -> None."""
LayerWordConsumer = Callable[["Layer", int, Sequence[WordMaps]], None]
"""(a layer, 0-based step, the word maps of each picture of the batch there) -> None."""


@dataclass(frozen=True)
class WordRequest:
    """A request to read word maps in a generation.

    Attributes:
        reader: Finds the tokens of words, of the model that runs.
        consumer: Called for each picture of a batch after its last step.
        steps: 0-based steps over which the maps are averaged; None for all that run.
        layers: Layers at which maps are wanted while the model runs.
        at_layer: Called at each of those steps when a layer has run: with means over what attended to the text in that
            step so far, so of the blocks up to the layer and of its own. It is not called where nothing did.
    """

    reader: WordReader
    consumer: WordConsumer
    steps: Collection[int] | None = None
    layers: Sequence[Layer] = ()
    at_layer: LayerWordConsumer | None = None


def resized(maps: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return maps [n, rows, cols] on another grid, clamped at 0.

    A coarser grid takes means of cells. A finer one is filled by bicubic interpolation, as in DAAM, whose overshoots
    below 0 are cut off.
    """
    import torch
    from torch.nn.functional import interpolate

    given = torch.from_numpy(np.ascontiguousarray(maps, np.float32))[None]
    coarser = grid[0] <= maps.shape[1] and grid[1] <= maps.shape[2]
    how: dict[str, Any] = {"mode": "area"} if coarser else {"mode": "bicubic", "align_corners": False}
    return np.asarray(interpolate(given, size=grid, **how)[0].clamp_min(0).numpy())


@contextmanager
def reading_words(batch: Pass, request: WordRequest) -> Iterator[None]:
    """Hand the word maps of the one generation that runs inside to the consumer, picture by picture, after its end.

    Maps at layers are handed over while it runs. The hooks are removed afterwards in every case.

    Raises:
        UsageError: It is not known where the model attends to words.
        AutointerpError: The pipeline differs from what is known of its family, or it attended to no text.
    """
    from autointerp.diffusion.arguments import named
    from autointerp.diffusion.calls import Calls

    model, attention = batch.model, attention_of(batch.model.description)
    calls, sums = Calls(batch), _Sums(batch, request)

    def is_read() -> bool:
        return calls.conditional and (request.steps is None or calls.step in request.steps)

    def hook_at(layer: Layer) -> Callable[..., None]:
        def hook(*_call: Any) -> None:
            if request.at_layer is not None and is_read():
                with model.float32():
                    found = sums.of_step(calls.step)
                    if found:
                        request.at_layer(layer, calls.step, found)

        return hook

    def hook_of(path: str) -> Callable[..., None]:
        block = f"{model.family.denoiser}.{attention.block(path)}"

        def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _output: Any) -> None:
            if not is_read():
                return
            # The projections run as the model's own do, under autocast where it does.
            weights = attention.weights(module, named(module, args, kwargs), batch.count, calls.text_tokens)
            with model.float32():
                sums.add(block, weights, calls)

        return hook

    modules = [(path, module) for path, module in model.denoiser.named_modules() if attention.is_at(path)]
    handles = []
    try:
        handles.append(model.denoiser.register_forward_pre_hook(calls.before, with_kwargs=True))
        handles += [module.register_forward_hook(hook_of(path), with_kwargs=True) for path, module in modules]
        # Registered later, so that a layer which itself attends to the text has been read by then.
        handles += [model.module(layer.hookpoint).register_forward_hook(hook_at(layer)) for layer in request.layers]
        yield
        calls.check()
    finally:
        for handle in handles:
            handle.remove()
    for job, maps in zip(batch.jobs, sums.of_run(), strict=True):
        request.consumer(job, maps)


class _Means:
    """Means of the maps of each picture's words over the layers that are added, for each grid on which they attend."""

    def __init__(self, words: Sequence[TokenWords]) -> None:
        self._words = words
        self._sums: dict[tuple[int, int], list[torch.Tensor]] = {}
        """Grid -> for each picture, sums of maps, float32 [cells, words]."""
        self._layers = 0

    def add(self, grid: tuple[int, int], new: list[torch.Tensor]) -> None:
        """Add the maps of one layer at one step: for each picture, float32 [cells, words]."""
        old = self._sums.get(grid)
        self._sums[grid] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]
        self._layers += 1

    def maps(self) -> list[WordMaps]:
        """Return the maps of each picture, on the finest grid; none where no layer was added."""
        if not self._sums:
            return []
        finest, found = max(self._sums), []
        for n, words in enumerate(self._words):
            total = np.zeros((len(words.words), *finest), np.float32)
            for grid, sums in self._sums.items():
                if words.words:
                    total += _grown(sums[n].T.reshape(-1, *grid).cpu().numpy(), finest)
            found.append(WordMaps(words.words, total / self._layers))
        return found


class _Sums:
    """Takes in the attention of a batch, and keeps the means over the whole run and over the present step."""

    def __init__(self, batch: Pass, request: WordRequest) -> None:
        self._batch = batch
        self._words = [request.reader.read(job.prompt) for job in batch.jobs]
        self._run, self._step, self._at = _Means(self._words), _Means(self._words), -1
        self._shares: list[torch.Tensor] = []

    def add(self, block: str, weights: torch.Tensor, calls: Calls) -> None:
        """Add the attention of one layer at one step, float32 [images, image tokens, text tokens]."""
        import torch

        grid = self._grid(block)
        expected = self._words[0].tokens.shape[0]
        if weights.shape[1:] != (grid[0] * grid[1], expected):
            raise AutointerpError(
                f"{block} attended from {weights.shape[1]} image tokens to {weights.shape[2]} text tokens at step "
                f"{calls.step}, not from {grid[0] * grid[1]} to {expected}",
                "this version of diffusers is not supported; install the one in constraints.txt",
            )
        if not self._shares:
            self._shares = [torch.from_numpy(words.shares).to(weights.device) for words in self._words]
        if calls.step != self._at:
            self._step, self._at = _Means(self._words), calls.step
        new = [one @ share for one, share in zip(weights, self._shares, strict=True)]
        for means in (self._run, self._step):
            means.add(grid, new)

    def _grid(self, block: str) -> tuple[int, int]:
        """Return the grid of a block's image tokens in pictures of the batch's size."""
        model = self._batch.model
        cell = model.family.cell_pixels(model.configs, block)
        width, height = sides(self._batch.settings.size)
        return -(-height // cell), -(-width // cell)

    def of_step(self, step: int) -> list[WordMaps]:
        """Return the maps of each picture over what attended in a step so far; none where nothing did."""
        return self._step.maps() if step == self._at else []

    def of_run(self) -> list[WordMaps]:
        """Return the maps of each picture over all layers and steps, on the finest grid."""
        found = self._run.maps()
        if not found:
            raise AutointerpError(
                f"{self._batch.model.name} attended to no text", "this version of diffusers is not supported"
            )
        return found


def _grown(maps: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return maps on the finest grid."""
    return maps if maps.shape[1:] == grid else resized(maps, grid)


def normalized(maps: np.ndarray) -> np.ndarray:
    """Return maps [n, rows, cols] from 0 at the least cell of each to 1 at its largest; an even map gives 0."""
    flat = maps.reshape(len(maps), -1) if len(maps) else np.zeros((0, 1), maps.dtype)
    low, high = flat.min(1)[:, None, None], flat.max(1)[:, None, None]
    return np.asarray((maps - low) / np.maximum(high - low, 1e-12)) if len(maps) else maps


def joined(maps: WordMaps, drop: Collection[str] = ()) -> tuple[list[str], np.ndarray]:
    """Return each word once, in lower case, with its map: where a word is said several times, their largest weights.

    Args:
        maps: The maps of a picture.
        drop: Words to leave out.

    Returns:
        Words, and float32 [words, rows, cols].
    """
    places: dict[str, list[int]] = {}
    for i, word in enumerate(maps.words):
        if word.text.lower() not in drop:
            places.setdefault(word.text.lower(), []).append(i)
    found: Sequence[np.ndarray] = [maps.maps[at].max(0) for at in places.values()]
    return list(places), np.stack(found) if found else np.zeros((0, *maps.maps.shape[1:]), np.float32)
