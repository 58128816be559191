"""sdxl-unbox (arXiv 2410.22366), in the layout of OpenAI's sparse autoencoders: `config.json` beside `state_dict.pth`.

The hookpoint is in the folder's name alone, and that the signal is a block's update is in no file.
"""

from __future__ import annotations

from autointerp.dictionaries.formats.hookpoints import hookpoint_in
from autointerp.dictionaries.formats.imported import Imported, needed_int, refuse
from autointerp.dictionaries.formats.source import AGAIN, Source
from autointerp.dictionaries.sae import TopK
from autointerp.errors import AutointerpError

NAME = "sdxl-unbox"


def detect(source: Source) -> bool:
    """The two biases of this layout, at the top of a file or inside it."""
    return source.tensors("pre_bias", "latent_bias", "decoder.weight") is not None


def read(source: Source, k: int | None = None) -> Imported:
    """Read `relu(topk((x - pre_bias) W^T + latent_bias))`; `mean.pt` and `std.pt` may be missing.

    Raises:
        AutointerpError: As `Format.read`.
    """
    config = source.config("k", "d_model") or source.config("k") or {}
    tensors = source.tensors("pre_bias", "latent_bias", "decoder.weight")
    if tensors is None:
        refuse(
            source,
            "no SAE of sdxl-unbox",
            "state_dict.pth has pre_bias, latent_bias, encoder.weight and decoder.weight",
        )
    n, d_in = tensors.matrix("encoder.weight")
    if config.get("d_model", d_in) != d_in or config.get("n_dirs_local", n) != n:
        refuse(source, f"encoder.weight is [{n}, {d_in}], config.json says otherwise", "fetch both again")
    sae = TopK(
        tensors.take("encoder.weight", n, d_in).T.contiguous(),
        tensors.take("latent_bias", n),
        tensors.take("decoder.weight", d_in, n).T.contiguous(),
        tensors.take("pre_bias", d_in),
        k=needed_int(source, config.get("k"), "k", k),
    )
    notes = ["signal update: sdxl-unbox trains on a block's output minus its input"]
    for name in ("mean.pt", "std.pt"):
        figures = source.single(name)
        if figures is not None and tuple(figures.shape) != (n,):
            raise AutointerpError(f"{source.folder / name} is {list(figures.shape)}, not [{n}]", AGAIN)
        if figures is not None:
            notes.append(f"{name} holds a figure of each feature for steering, no input normalisation: not used")
    return Imported(sae, hookpoint_in(source), "update", notes=tuple(notes))
