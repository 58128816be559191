"""How much two pictures differ, and how far one came towards a text: for models whose world is not known.

Both measures need no truth. The distance of latents has the form of LPIPS (arXiv 1801.03924): channels are scaled to
length one at each place, squared differences are summed over channels and averaged over places. In place of a
classifier's layers with learned weights it takes one layer, the latents of the model's own autoencoder, unweighted. So
it is at hand for every model, and its figures must not be compared with those of LPIPS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from autointerp.experiments.subjects import resized
from autointerp.sizes import parse_size

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.model import Model
    from autointerp.search.protocol import Embedder

SAME = 0.25
"""Distance of latents at a place up to which a picture counts as unchanged there: a cosine of 0.875."""


def text_gain(
    embedder: Embedder, before: Sequence[Image.Image], after: Sequence[Image.Image], texts: Sequence[str]
) -> np.ndarray:
    """Return how much nearer each picture came to a text: RIEBench's CLIP gain (arXiv 2410.22366).

    Args:
        embedder: A CLIP model, or another embedder of pictures and texts.
        before: The pictures before.
        after: The same pictures, changed.
        texts: What each was to become.

    Returns:
        cos(after, text) - cos(before, text), float64 [n], from -2 to 2.

    Raises:
        ValueError: There are not as many of each.
    """
    _check(before, after, texts)
    wanted = embedder.embed_texts(texts).astype(np.float64)
    ends, starts = (embedder.embed_images(some).astype(np.float64) for some in (after, before))
    return np.asarray(((ends - starts) * wanted).sum(1))


def picture_likeness(embedder: Embedder, before: Sequence[Image.Image], after: Sequence[Image.Image]) -> np.ndarray:
    """Return the cosine of each picture's vector before and after, float64 [n].

    Raises:
        ValueError: There are not as many of each.
    """
    _check(before, after)
    starts, ends = (embedder.embed_images(some).astype(np.float64) for some in (before, after))
    return np.asarray((starts * ends).sum(1))


def latent_distances(model: Model, before: Sequence[Image.Image], after: Sequence[Image.Image]) -> np.ndarray:
    """Return how much pictures differ at each place of the latents of the model's autoencoder; see the module.

    Args:
        model: The model whose autoencoder reads the pictures.
        before: Pictures of one size, which the autoencoder takes.
        after: The same pictures, changed.

    Returns:
        float64 [n, rows, cols], from 0 (the same) to 4 (opposite channels).

    Raises:
        ValueError: There are not as many of each.
        NotFiniteError: The latents are not finite.
    """
    _check(before, after)
    if not before:
        return np.zeros((0, 0, 0))
    from autointerp.diffusion.families.states import as_tokens
    from autointerp.diffusion.real import encode_pictures

    both = encode_pictures(model, [*before, *after])
    grid = both.shape[2:] if both.ndim == 4 else model.description.grid(parse_size(before[0].size))
    tokens = as_tokens(both).double().cpu().numpy()
    tokens = tokens / np.maximum(np.linalg.norm(tokens, axis=2, keepdims=True), 1e-12)
    starts, ends = tokens[: len(before)], tokens[len(before) :]
    return np.asarray(np.square(starts - ends).sum(2).reshape(len(before), *grid))


def latent_distance(
    model: Model,
    before: Sequence[Image.Image],
    after: Sequence[Image.Image],
    where: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """Return the mean of `latent_distances` over each picture.

    Args:
        model: The model whose autoencoder reads the pictures.
        before: Pictures of one size, which the autoencoder takes.
        after: The same pictures, changed.
        where: For each picture, the cells that count, bool [rows, cols] of any grid; all if None. Where no cell counts,
            the distance is nan.

    Returns:
        float64 [n], from 0 to 4.

    Raises:
        ValueError: There are not as many of each.
        NotFiniteError: The latents are not finite.
    """
    _check(before, after, *([] if where is None else [where]))
    distances = latent_distances(model, before, after)
    if where is None:
        return np.asarray(distances.mean((1, 2))) if len(distances) else np.zeros(0)
    found = np.full(len(before), np.nan)
    for i, (distance, mask) in enumerate(zip(distances, where, strict=True)):
        on = resized(mask, distance.shape)
        if on.any():
            found[i] = distance[on].mean()
    return found


def _check(*several: Sequence[object]) -> None:
    if len({len(some) for some in several}) > 1:
        raise ValueError(f"there are {' and '.join(str(len(some)) for some in several)} of what should be as many")
