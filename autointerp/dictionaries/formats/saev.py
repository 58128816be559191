"""saev (OSU NLP): `sae.pt`, a line of JSON before the tensors; schemas changed without their numbers changing."""

from __future__ import annotations

from typing import Any

import torch

from autointerp.dictionaries.formats.configuration import Configuration, checked_count
from autointerp.dictionaries.formats.imported import Imported, b_enc_without_b_dec, check_size, refuse
from autointerp.dictionaries.formats.source import Source
from autointerp.dictionaries.sae import SAE, BatchTopK, ReLU, TopK

NAME = "saev"
_NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")
_NEWEST = 5
_SINCE = 2
"""From this schema on `b_dec` is not subtracted before encoding."""


def detect(source: Source) -> bool:
    """A file that begins with a line of JSON."""
    return source.headed("W_enc", "W_dec") is not None


def read(source: Source, k: int | None = None) -> Imported:
    """Read a checkpoint of any schema up to 5.

    Raises:
        AutointerpError: As `Format.read`; a top-k by absolute value is refused.
    """
    found = source.headed("W_enc", "W_dec")
    if found is None:
        refuse(source, "no checkpoint of saev", "it begins with a line of JSON")
    header, tensors = found
    schema = header.get("schema", 0)
    if not isinstance(schema, int) or isinstance(schema, bool) or not 0 <= schema <= _NEWEST:
        refuse(source, f"schema {schema!r} of saev is not known", f"known: up to {_NEWEST}")
    notes: list[str] = []
    config = Configuration(source.asked, header["cfg"] if isinstance(header.get("cfg"), dict) else header, notes)
    d_in, n = tensors.matrix("W_enc")
    said = config["d_model"] if config["d_model"] is not None else config["d_vit"]
    check_size(source, tensors, {"d_model": (said, d_in), "d_sae": (config["d_sae"], n)})
    W_enc, W_dec = tensors.take("W_enc", d_in, n), tensors.take("W_dec", n, d_in)
    b_enc, b_dec = tensors.take("b_enc", n), tensors.take("b_dec", d_in)
    if schema >= _SINCE:
        b_enc = b_enc_without_b_dec(W_enc, b_enc, b_dec)
    else:
        notes.append(f"schema {schema or 'none'}: b_dec is subtracted before encoding, as saev did when it wrote this")
    name, top_k = _activation(header, config)
    top_k = checked_count(source.asked, "top_k", top_k, n)
    four = (W_enc, b_enc, W_dec, b_dec)
    sae: SAE
    if name == "relu":
        sae = ReLU(*four, k)
    elif name == "batchtopk" and "activation.threshold" in tensors:
        threshold = max(tensors.number("activation.threshold"), 0.0)
        sae = BatchTopK(*four, top_k, torch.tensor(threshold))
    elif name in ("topk", "batchtopk"):
        sae = TopK(*four, config.needed_k(top_k, k, n, "top_k"))
        notes.append("a token with fewer than k positive pre-activations keeps no negative ones; saev keeps them")
        if name == "batchtopk":
            notes.append("BatchTopK without a stored threshold: used as per-token top-k")
    else:
        refuse(source, f"the activation {name} of saev cannot be imported", "import one with Relu, TopK or BatchTopK")
    return Imported(sae, notes=tuple(notes))


def _activation(header: dict[str, Any], config: Configuration) -> tuple[str, Any]:
    """The activation's name without marks, and its k; each schema has another place for them."""
    said = config["activation"]
    if isinstance(said, dict):
        params = said.get("params") if isinstance(said.get("params"), dict) else said
        name = said.get("cls") or said.get("kind")
        if name is None:
            config.notes.append("its activation has no name: a ReLU is taken, the default of saev")
        return str(name or "Relu").lower().replace("-", "").replace("_", ""), params.get("top_k")  # type: ignore[union-attr]
    name = said if isinstance(said, str) else header.get("cls")
    if name is None or name in ("Vanilla", "ReLU", "Relu", "relu"):
        if name is None:
            config.notes.append("no activation is said: a ReLU is taken, the only one that saev had at first")
        return "relu", None
    top_k = config["top_k"]
    if top_k is None and str(name).lower() in ("topk", "batchtopk"):
        config.notes.append("top_k is not said: 32 is taken, the default of saev")
        top_k = 32
    return str(name).lower(), top_k
