"""SAELens: `cfg.json` beside `sae_weights.safetensors`, of version 6 or of the flat layout before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from autointerp.dictionaries.formats.imported import (
    Imported,
    b_enc_without_b_dec,
    needed_int,
    refuse,
    unit_decoder,
)
from autointerp.dictionaries.formats.source import Source, Tensors
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK

NAME = "saelens"
WRITES = ("topk", "batchtopk", "jumprelu", "relu", "gated", "random", "pca")
"""Kinds that can be written exactly."""
VERSION = "6.18.0"
"""The version whose layout is written. Without one of at least 6, SAELens would read the flat layout."""
_KNOWN = ("standard", "topk", "jumprelu", "gated", "batchtopk", "matryoshka_batchtopk")
_LAYER_NORMS = ("layer_norm", "constant_norm_rescale")


def detect(source: Source) -> bool:
    """A configuration with `d_in` and `d_sae`, beside the tensors of an autoencoder."""
    return source.config("d_in", "d_sae") is not None and source.tensors("W_enc", "W_dec", "b_dec") is not None


def read(source: Source, k: int | None = None) -> Imported:
    """Read an inference SAE.

    Folded exactly: `apply_b_dec_to_input: false`, `rescale_acts_by_decoder_norm`, `scaling_factor`, and the scale of
    `activation_scaler.json`. Refused: transcoders, and inputs that are normalised row by row.

    Raises:
        AutointerpError: As `Format.read`.
    """
    found = source.config("d_in", "d_sae")
    tensors = source.tensors("W_enc", "W_dec", "b_dec")
    if found is None or tensors is None:
        refuse(source, "no SAE of SAELens", "it has cfg.json with d_in and d_sae, and W_enc, W_dec, b_dec")
    config, notes = _modern(found)
    architecture = str(config.get("architecture", "standard"))
    if architecture not in _KNOWN or "W_skip" in tensors or config.get("d_out", config["d_in"]) != config["d_in"]:
        name = architecture if architecture not in _KNOWN else "transcoder"
        refuse(source, f"a SAELens {name} cannot be imported", f"import one of {', '.join(_KNOWN)}")
    if config.get("normalize_activations") in _LAYER_NORMS:
        refuse(
            source,
            f"normalize_activations {config['normalize_activations']!r} scales each row by its own size, "
            "which no fixed weights can do",
            "retrain with 'none' or 'expected_average_only_in'",
        )
    d_in, n = tensors.matrix("W_enc")
    W_enc, W_dec = tensors.take("W_enc", d_in, n), tensors.take("W_dec", n, d_in)
    b_dec = tensors.take("b_dec", d_in)
    gated = architecture == "gated"
    b_enc = tensors.take("b_gate" if gated else "b_enc", n)
    if config["d_in"] != d_in or config["d_sae"] != n:
        refuse(source, f"the weights are [{d_in}, {n}], the configuration says otherwise", "fetch both again")
    own = _own(config)
    r_mag = tensors.take("r_mag", n) if gated else torch.zeros(n)
    b_mag = tensors.take("b_mag", n) if gated else torch.zeros(n)
    if not config.get("apply_b_dec_to_input", True):
        shift = b_enc_without_b_dec(W_enc, torch.zeros(n), b_dec)
        b_enc, b_mag = b_enc + shift, b_mag + shift * r_mag.exp()
        notes.append("apply_b_dec_to_input is false: folded into b_enc")
    if config.get("rescale_acts_by_decoder_norm"):
        W_enc, b_enc, W_dec = unit_decoder(W_enc, b_enc, W_dec)
        notes.append("rescale_acts_by_decoder_norm: folded, decoder rows have length 1")
    W_dec = _finetuned(source, config, tensors, W_dec, notes)
    scale = _scale(source, config, notes)
    if scale != 1:
        W_enc, W_dec, b_dec = W_enc * scale, W_dec / scale, b_dec / scale
    four = (W_enc, b_enc, W_dec, b_dec)
    sae: SAE
    if gated:
        sae = Gated(*four, k=own.get("k"), r_mag=r_mag, b_mag=b_mag)
    elif architecture == "topk":
        sae = TopK(*four, k=needed_int(source, config.get("k"), "k", k))
    elif architecture == "standard":
        sae = ReLU(*four, k=own.get("k"))
    else:
        sae = _thresholded(config, tensors, four, own)
    if config.get("reshape_activations") not in (None, "none"):
        notes.append("reshape_activations: activations are taken as flattened heads")
    metadata = config["metadata"]
    return Imported(
        sae,
        hookpoint=metadata.get("hook_name"),
        signal=own.get("signal"),
        model=metadata.get("model_name"),
        notes=tuple(notes),
        provenance=own,
    )


def _thresholded(
    config: dict[str, Any], tensors: Tensors, four: tuple[torch.Tensor, ...], own: dict[str, Any]
) -> JumpReLU:
    W_enc, b_enc, W_dec, b_dec = four
    n = W_enc.shape[1]
    if "topk_threshold" in tensors:  # A checkpoint of training; inference files have `threshold`.
        threshold = torch.full((n,), tensors.number("topk_threshold"))
    elif "log_threshold" in tensors:
        threshold = tensors.take("log_threshold", n).exp()
    else:
        threshold = tensors.take("threshold", n)
    if bool((threshold == threshold[0]).all()) and "batchtopk" in (own.get("kind"), config["architecture"]):
        return BatchTopK(W_enc, b_enc, W_dec, b_dec, own.get("k"), threshold[0].clone())
    return JumpReLU(W_enc, b_enc, W_dec, b_dec, own.get("k"), threshold)


def _modern(found: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The configuration in the words of version 6, and what was assumed about an older one."""
    config = dict(found)
    metadata = dict(config.get("metadata") or {})
    version = str(config.get("sae_lens_version") or metadata.get("sae_lens_version") or "")
    major = version.split(".", 1)[0]
    if major.isdecimal() and int(major) >= 6:
        return {**config, "metadata": metadata}, []
    notes = ["the flat configuration of SAELens before version 6"]
    arguments = config.get("activation_fn_kwargs") or {}
    activation = str(config.get("activation_fn_str") or config.get("activation_fn") or "relu")
    if activation == "topk":
        config |= {"architecture": "topk", "k": arguments.get("k", config.get("k"))}
    elif activation != "relu":
        config["architecture"] = f"{activation} SAE"
    if isinstance(config.get("normalize_activations"), bool):
        config["normalize_activations"] = "expected_average_only_in" if config["normalize_activations"] else "none"
    for old in ("hook_point", "hook_name"):
        metadata.setdefault("hook_name", config.get(old))
        metadata["hook_name"] = metadata["hook_name"] or config.get(old)
    metadata.setdefault("model_name", config.get("model_name"))
    return {**config, "metadata": metadata}, notes


def _finetuned(
    source: Source, config: dict[str, Any], tensors: Tensors, W_dec: torch.Tensor, notes: list[str]
) -> torch.Tensor:
    """The decoder with a legacy `scaling_factor` of its latents folded in."""
    if "scaling_factor" not in tensors:
        return W_dec
    factor = tensors.take("scaling_factor", len(W_dec))
    if torch.allclose(factor, torch.ones_like(factor)):
        return W_dec
    if not config.get("finetuning_scaling_factor"):
        refuse(source, "scaling_factor is there but finetuning_scaling_factor is false", "fetch the files again")
    notes.append("scaling_factor: folded into W_dec")
    return W_dec * factor[:, None]


def _scale(source: Source, config: dict[str, Any], notes: list[str]) -> float:
    """What inputs are multiplied with, of `activation_scaler.json`."""
    if config.get("normalize_activations") != "expected_average_only_in":
        return 1.0
    scaler = source.config("scaling_factor")
    if scaler is None or scaler["scaling_factor"] is None:
        notes.append("expected_average_only_in: no scale is there, so it counts as folded already, as in SAELens")
        return 1.0
    notes.append("expected_average_only_in: the scale of activation_scaler.json is folded")
    return float(scaler["scaling_factor"])


def _own(config: dict[str, Any]) -> dict[str, Any]:
    own = config["metadata"].get("autointerp")
    return own if isinstance(own, dict) else {}


def write(dictionary: Dictionary, out: Path, provenance: dict[str, Any]) -> None:
    """Write an SAE that `SAE.load_from_disk` of SAELens 6 reads; our provenance is in `metadata.autointerp`.

    BatchTopK becomes `jumprelu` with one threshold for all, as SAELens itself saves it.
    """
    from safetensors.torch import save_file

    assert isinstance(dictionary, SAE)
    four = {name: getattr(dictionary, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    n = dictionary.num_latents
    more: dict[str, Any] = {}
    if isinstance(dictionary, TopK):
        architecture, more = "topk", {"k": dictionary.k, "rescale_acts_by_decoder_norm": False}
    elif isinstance(dictionary, JumpReLU):
        architecture = "jumprelu"
        four["threshold"] = dictionary.threshold.expand(n)
    elif isinstance(dictionary, Gated):
        architecture = "gated"
        four |= {"b_gate": four.pop("b_enc"), "b_mag": dictionary.b_mag, "r_mag": dictionary.r_mag}
    else:
        architecture = "standard"
    config = {
        "d_in": dictionary.d_in,
        "d_sae": n,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": VERSION,
            "sae_lens_training_version": None,
            "model_name": provenance.get("model"),
            "hook_name": provenance.get("hookpoint"),
            "autointerp": {**provenance, "kind": dictionary.kind, "k": dictionary.k},
        },
        **more,
        "architecture": architecture,
    }
    save_file({k: t.detach().cpu().float().contiguous() for k, t in four.items()}, out / "sae_weights.safetensors")
    (out / "cfg.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
