"""sdxl-unbox (arXiv 2410.22366), in the layout of OpenAI's sparse autoencoders: `config.json` beside `state_dict.pth`.

The hookpoint is in the folder's name alone, and that the signal is a block's update is in no file.
"""

from __future__ import annotations

from collections.abc import Mapping

from autointerp.dictionaries.formats.configuration import Configuration
from autointerp.dictionaries.formats.hookpoints import hookpoint_in
from autointerp.dictionaries.formats.imported import Imported, check_size, refuse
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
    tensors = source.tensors("pre_bias", "latent_bias", "decoder.weight")
    if tensors is None:
        refuse(
            source,
            "no SAE of sdxl-unbox",
            "state_dict.pth has pre_bias, latent_bias, encoder.weight and decoder.weight",
        )
    notes = ["signal update: sdxl-unbox trains on a block's output minus its input"]
    found = source.config("k", "d_model") or source.needed_config("k")
    if found is None and isinstance(tensors.beside.get("config"), Mapping):
        found = tensors.beside["config"]
        notes.append(f"the configuration inside {tensors.path.name} is taken")
    config = Configuration(source.asked, found or {}, notes)
    if found is None:
        notes.append("no config.json is there: read as a top-k of each token")
    activation = config.word("activation", str(tensors.beside.get("activation") or "TopK"))
    if activation.lower() != "topk":
        refuse(source, f"the activation {activation!r} cannot be imported", "import one with TopK")
    n, d_in = tensors.matrix("encoder.weight")
    check_size(source, tensors, {"n_dirs_local": (config["n_dirs_local"], n), "d_model": (config["d_model"], d_in)})
    sae = TopK(
        tensors.take("encoder.weight", n, d_in).T.contiguous(),
        tensors.take("latent_bias", n),
        tensors.take("decoder.weight", d_in, n).T.contiguous(),
        tensors.take("pre_bias", d_in),
        k=config.needed_k(config["k"], k, n),
    )
    for name in ("mean.pt", "std.pt"):
        figures = source.single(name)
        if figures is not None and tuple(figures.shape) != (n,):
            raise AutointerpError(f"{source.folder / name} is {list(figures.shape)}, not [{n}]", AGAIN)
        if figures is not None:
            notes.append(f"{name} holds a figure of each feature for steering, no input normalisation: not used")
    return Imported(sae, hookpoint_in(source), "update", notes=tuple(notes))
