"""sparsify (EleutherAI) and its fork SAeUron: `cfg.json` beside `sae.safetensors`, in a folder of the hookpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autointerp.dictionaries.formats.configuration import Configuration
from autointerp.dictionaries.formats.hookpoints import hookpoint_in
from autointerp.dictionaries.formats.imported import Imported, check_size, refuse
from autointerp.dictionaries.formats.source import Source
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.sae import TopK

NAME = "sparsify"
WRITES = ("topk", "random", "pca")
"""Kinds that can be written exactly."""


def detect(source: Source) -> bool:
    """The tensors of a sparse coder; ITDA dictionaries in files of the same names have others."""
    return source.tensors("encoder.weight", "W_dec") is not None


def read(source: Source, k: int | None = None) -> Imported:
    """Read a sparse coder as its `encode` uses it: per-token top-k of `relu((x - b_dec) W^T + b)`.

    Raises:
        AutointerpError: As `Format.read`; skip connections, transcoders, groupmax and signed top-k are refused.
    """
    tensors = source.tensors("encoder.weight", "W_dec")
    if tensors is None:
        refuse(source, "no sparse coder of sparsify", "it has encoder.weight, encoder.bias, W_dec and b_dec")
    notes: list[str] = []
    found = source.config("k", "d_in") or source.config("d_in") or source.needed_config("k")
    config = Configuration(source.asked, found or {}, notes)
    if found is None:
        notes.append("no cfg.json is there: read as a sparse coder with a top-k of each token")
    for key, what in (
        ("skip_connection", "a skip connection"),
        ("transcode", "a transcoder"),
        ("signed", "a signed top-k"),
    ):
        if config.flag(key, False) or (key == "skip_connection" and "W_skip" in tensors):
            refuse(source, f"{what} cannot be imported", "import an autoencoder without it")
    default = "topk, as sparsify had no other at first" if found is not None else ""
    if (activation := config.word("activation", "topk", default)) != "topk":
        refuse(source, f"the activation {activation!r} cannot be imported", "import one with 'topk'")
    n, d_in = tensors.matrix("encoder.weight")
    check_size(source, tensors, {"num_latents": (config["num_latents"] or None, n), "d_in": (config["d_in"], d_in)})
    sae = TopK(
        tensors.take("encoder.weight", n, d_in).T.contiguous(),
        tensors.take("encoder.bias", n),
        tensors.take("W_dec", n, d_in),
        tensors.take("b_dec", d_in),
        k=config.needed_k(config["k"], k, n),
    )
    own = config.mapping("autointerp")
    if config.flag("batch_topk", False) or config.flag("sample_topk", False):
        notes.append("trained with a top-k over a batch; used as per-token top-k, as SAeUron does")
    if config.flag("input_unit_norm", False):
        notes.append("input_unit_norm normalises rows in its forward() alone; encode() is followed, which does not")
    if "signal" not in own:
        notes.append("signal output: sparsify hooks what a module returns")
    hookpoint = own.get("hookpoint") or hookpoint_in(source)
    return Imported(sae, hookpoint, own.get("signal", "output"), own.get("model"), tuple(notes), own)


def write(dictionary: Dictionary, out: Path, provenance: dict[str, Any]) -> None:
    """Write a sparse coder that `SparseCoder.load_from_disk` reads; keys it does not know it drops with a notice."""
    from safetensors.torch import save_file

    assert isinstance(dictionary, TopK)
    n, d_in = dictionary.num_latents, dictionary.d_in
    config = {
        "activation": "topk",
        "expansion_factor": max(1, n // d_in),
        # The weights are as they are: its loader must not think that rows were scaled.
        "normalize_decoder": False,
        # 0 would mean d_in x expansion_factor.
        "num_latents": n,
        "k": dictionary.k,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": d_in,
        "autointerp": {**provenance, "kind": dictionary.kind, "k": dictionary.k},
    }
    tensors = {
        "encoder.weight": dictionary.W_enc.T,
        "encoder.bias": dictionary.b_enc,
        "W_dec": dictionary.W_dec,
        "b_dec": dictionary.b_dec,
    }
    # One dtype: its loader takes that of the first tensor for all.
    save_file({k: t.detach().cpu().float().contiguous() for k, t in tensors.items()}, out / "sae.safetensors")
    (out / "cfg.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
