"""SAELens: `cfg.json` beside `sae_weights.safetensors`, of version 6 or of the flat layout before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from autointerp.dictionaries.formats.configuration import Configuration, checked_count
from autointerp.dictionaries.formats.imported import (
    Imported,
    b_enc_without_b_dec,
    check_size,
    refuse,
    unit_decoder,
)
from autointerp.dictionaries.formats.source import Source, Tensors
from autointerp.dictionaries.matching import MatchingPursuit
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK
from autointerp.dictionaries.transcoders import Transcoder

NAME = "saelens"
WRITES = ("topk", "batchtopk", "jumprelu", "relu", "gated", "random", "pca")
"""Kinds that can be written exactly."""
VERSION = "6.18.0"
"""The version whose layout is written. Without one of at least 6, SAELens would read the flat layout."""
_KNOWN = ("standard", "topk", "jumprelu", "gated", "batchtopk", "matryoshka_batchtopk")
_PURSUIT = "matching_pursuit"
_TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
_LAYER_NORMS = ("layer_norm", "constant_norm_rescale")
_SCALED = "expected_average_only_in"
_KINDS = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "gated": ("b_gate", "r_mag", "b_mag"),
    "jumprelu": ("b_enc",),
    "batchtopk": ("b_enc",),
    "matryoshka_batchtopk": ("b_enc",),
}
"""Architecture -> tensors that it has beyond `W_enc`, `W_dec` and `b_dec`."""
_THRESHOLDS = ("threshold", "log_threshold", "topk_threshold")


def detect(source: Source) -> bool:
    """A configuration with `d_in` and `d_sae`, beside the tensors of an autoencoder, or of a decoder alone."""
    found = source.config("d_in", "d_sae")
    if found is None:
        return False
    of_pursuit = found.get("architecture") == _PURSUIT and source.tensors("W_dec", "b_dec") is not None
    return of_pursuit or source.tensors("W_enc", "W_dec", "b_dec") is not None


def read(source: Source, k: int | None = None) -> Imported:
    """Read an inference SAE.

    Folded exactly: `apply_b_dec_to_input: false`, `rescale_acts_by_decoder_norm`, `scaling_factor`, and the scale of
    `activation_scaler.json`. Refused: transcoders to another width, and inputs that are normalised row by row.

    Raises:
        AutointerpError: As `Format.read`.
    """
    found = source.needed_config("d_in", "d_sae")
    architecture = None if found is None else found.get("architecture")
    tensors = source.tensors(*(("W_dec", "b_dec") if architecture == _PURSUIT else ("W_enc", "W_dec", "b_dec")))
    if found is None or tensors is None:
        refuse(source, "no SAE of SAELens", "it has cfg.json with d_in and d_sae, and W_enc, W_dec, b_dec")
    values, notes = _modern(found)
    config = Configuration(source.asked, values, notes)
    if architecture == _PURSUIT:
        return _imported(_pursuit(source, config, tensors), values, notes)
    if architecture in _TRANSCODERS:
        return _imported(_transcoder(source, config, tensors), values, notes)
    architecture = _architecture(source, config, tensors)
    normalization = _normalization(source, config)
    d_in, n = tensors.matrix("W_enc")
    check_size(source, tensors, {"d_in": (config["d_in"], d_in), "d_sae": (config["d_sae"], n)})
    W_enc, W_dec = tensors.take("W_enc", d_in, n), tensors.take("W_dec", n, d_in)
    b_dec = tensors.take("b_dec", d_in)
    gated = architecture == "gated"
    b_enc = tensors.take("b_gate" if gated else "b_enc", n)
    own = _own(values)
    own_k = checked_count(source.asked, "k", own.get("k"), n)
    r_mag = tensors.take("r_mag", n) if gated else torch.zeros(n)
    b_mag = tensors.take("b_mag", n) if gated else torch.zeros(n)
    if not config.flag("apply_b_dec_to_input", True, "b_dec is subtracted before encoding, the default of SAELens"):
        shift = b_enc_without_b_dec(W_enc, torch.zeros(n), b_dec)
        b_enc, b_mag = b_enc + shift, b_mag + shift * r_mag.exp()
        notes.append("apply_b_dec_to_input is false: folded into b_enc")
    by_norm = "latents are not scaled by the length of their decoder row" if architecture == "topk" else ""
    if config.flag("rescale_acts_by_decoder_norm", False, by_norm):
        W_enc, b_enc, W_dec = unit_decoder(W_enc, b_enc, W_dec)
        notes.append("rescale_acts_by_decoder_norm: folded, decoder rows have length 1")
    W_dec = _finetuned(source, config, tensors, W_dec)
    scale = _scale(source, normalization, notes)
    if scale != 1:
        W_enc, W_dec, b_dec = W_enc * scale, W_dec / scale, b_dec / scale
    four = (W_enc, b_enc, W_dec, b_dec)
    sae: SAE
    if gated:
        sae = Gated(*four, k=own_k, r_mag=r_mag, b_mag=b_mag)
    elif architecture == "topk":
        sae = TopK(*four, k=config.needed_k(config["k"], k, n))
    elif architecture == "standard":
        sae = ReLU(*four, k=own_k)
    else:
        sae = _thresholded(architecture, tensors, four, own.get("kind"), own_k)
    if config["reshape_activations"] not in (None, "none"):
        notes.append("reshape_activations: activations are taken as flattened heads")
    return _imported(sae, values, notes)


def _imported(dictionary: Dictionary, values: dict[str, Any], notes: list[str]) -> Imported:
    """Return a dictionary with what its metadata say of its place."""
    metadata, own = values["metadata"], _own(values)
    return Imported(
        dictionary,
        hookpoint=metadata.get("hook_name"),
        signal=own.get("signal"),
        model=metadata.get("model_name"),
        notes=tuple(notes),
        provenance=own,
    )


def _pursuit(source: Source, config: Configuration, tensors: Tensors) -> MatchingPursuit:
    """Read a decoder whose codes are found by matching pursuit."""
    n, d_in = tensors.matrix("W_dec")
    check_size(source, tensors, {"d_sae": (config["d_sae"], n), "d_in": (config["d_in"], d_in)})
    b_dec = tensors.take("b_dec", d_in)
    if not config.flag("apply_b_dec_to_input", True, "b_dec is subtracted before encoding, the default of SAELens"):
        # Where the bias is not subtracted it is not added either.
        b_dec = torch.zeros(d_in)
    W_dec = tensors.take("W_dec", n, d_in)
    scale = _scale(source, _normalization(source, config), config.notes)
    residual = config.number("residual_threshold")
    if residual is None:
        residual = 1e-2
        config.notes.append("residual_threshold is not said: 0.01, the default of SAELens")
    if scale != 1:
        refuse(source, "a pursuit on scaled activations cannot be imported", "fold the scale where it was made")
    return MatchingPursuit(W_dec, b_dec, residual)


def _transcoder(source: Source, config: Configuration, tensors: Tensors) -> Transcoder:
    """Read a transcoder of an MLP: its input and its output have one width."""
    d_in, n = tensors.matrix("W_enc")
    d_out = tensors.shape("b_dec")[0]
    sizes = {"d_in": (config["d_in"], d_in), "d_sae": (config["d_sae"], n), "d_out": (config["d_out"], d_out)}
    check_size(source, tensors, sizes)
    if d_out != d_in:
        refuse(
            source,
            f"a SAELens transcoder from {d_in} to {d_out} dimensions cannot be imported",
            "import one of an MLP, whose input and output have one width",
        )
    if _scale(source, _normalization(source, config), config.notes) != 1:
        refuse(source, "a transcoder of scaled activations cannot be imported", "fold the scale where it was made")
    architecture = config.word("architecture", "")
    thresholded, skips = "jumprelu" in architecture, "skip" in architecture
    asked = {"threshold": thresholded, "W_skip": skips}
    lacking = [name for name, is_asked in asked.items() if is_asked is not (name in tensors)]
    if lacking:
        said = f"the configuration says {architecture}, but the weights do not fit it by {', '.join(lacking)}"
        refuse(source, said, "fetch both again")
    config.notes.append("a transcoder: it reads the input of the layer's MLP, and rebuilds its output")
    made = Transcoder(
        tensors.take("W_enc", d_in, n),
        tensors.take("b_enc", n),
        tensors.take("W_dec", n, d_out),
        tensors.take("b_dec", d_out),
        checked_count(source.asked, "k", _own(dict(config.values)).get("k"), n),
        "jumprelu" if thresholded else "relu",
        # SAELens takes the larger of 0 and the threshold, by a ReLU before it.
        tensors.take("threshold", n).clamp_min(0) if thresholded else None,
    )
    made.W_skip = tensors.take("W_skip", d_out, d_in) if skips else None
    return made


def _architecture(source: Source, config: Configuration, tensors: Tensors) -> str:
    """The architecture; where the configuration does not say it, what the names of the tensors and keys tell."""
    thresholds = [name for name in _THRESHOLDS if name in tensors]
    if config["architecture"] is not None:
        architecture = config.word("architecture", "")
    elif thresholds or "b_gate" in tensors:
        architecture = "jumprelu" if thresholds else "gated"
        config.notes.append(f"architecture is not said: {architecture}, by the names of the tensors")
    elif config["k"] is not None:
        architecture = "topk"
        config.notes.append("architecture is not said: topk, as there is a k")
    else:
        architecture = "standard"
        config.notes.append("architecture is not said: standard, with a ReLU, the default of SAELens")
    transcodes = "W_skip" in tensors or config["d_out"] not in (None, config["d_in"])
    if architecture not in _KNOWN or transcodes:
        name = f"{architecture} with the tensors of a transcoder" if architecture in _KNOWN else architecture
        known = ", ".join([*_KNOWN, *_TRANSCODERS, _PURSUIT])
        refuse(source, f"a SAELens {name} cannot be imported", f"import one of {known}")
    lacking = [name for name in _KINDS[architecture] if name not in tensors]
    strange = thresholds if architecture in ("standard", "topk", "gated") else []
    if architecture != "gated" and "b_gate" in tensors:
        strange = ["b_gate"]
    if strange or (lacking and lacking != ["b_enc"]):
        reason = f"lack {', '.join(lacking)}" if lacking else f"hold {', '.join(strange)}"
        refuse(source, f"the configuration says {architecture}, but the weights {reason}", "fetch both again")
    return architecture


def _normalization(source: Source, config: Configuration) -> str:
    """How inputs are normalised; refused where that depends on each row's own size."""
    said = config.word("normalize_activations", "none", "none, the default of SAELens")
    if said in _LAYER_NORMS:
        refuse(
            source,
            f"normalize_activations {said!r} scales each row by its own size, which no fixed weights can do",
            "retrain with 'none' or 'expected_average_only_in'",
        )
    if said not in ("none", _SCALED):
        refuse(source, f"normalize_activations {said!r} is not known", f"known: none, {_SCALED}")
    return said


def _thresholded(
    architecture: str, tensors: Tensors, four: tuple[torch.Tensor, ...], kind: Any, k: int | None
) -> JumpReLU:
    W_enc, b_enc, W_dec, b_dec = four
    n = W_enc.shape[1]
    if "topk_threshold" in tensors:  # A checkpoint of training; inference files have `threshold`.
        threshold = torch.full((n,), tensors.number("topk_threshold"))
    elif "log_threshold" in tensors:
        threshold = tensors.take("log_threshold", n).exp()
    else:
        threshold = tensors.take("threshold", n)
    if bool((threshold == threshold[0]).all()) and "batchtopk" in (kind, architecture):
        return BatchTopK(W_enc, b_enc, W_dec, b_dec, k, threshold[0].clone())
    return JumpReLU(W_enc, b_enc, W_dec, b_dec, k, threshold)


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


def _finetuned(source: Source, config: Configuration, tensors: Tensors, W_dec: torch.Tensor) -> torch.Tensor:
    """The decoder with a legacy `scaling_factor` of its latents folded in."""
    if "scaling_factor" not in tensors:
        return W_dec
    factor = tensors.take("scaling_factor", len(W_dec))
    if torch.allclose(factor, torch.ones_like(factor)):
        return W_dec
    if not config.flag("finetuning_scaling_factor", False):
        refuse(source, "scaling_factor is there but finetuning_scaling_factor is false", "fetch the files again")
    config.notes.append("scaling_factor: folded into W_dec")
    return W_dec * factor[:, None]


def _scale(source: Source, normalization: str, notes: list[str]) -> float:
    """What inputs are multiplied with, of `activation_scaler.json`."""
    if normalization != _SCALED:
        return 1.0
    scaler = Configuration(source.asked, source.needed_config("scaling_factor") or {}, notes)
    if (scale := scaler.number("scaling_factor")) is None:
        notes.append("expected_average_only_in: no scale is there, so it counts as folded already, as in SAELens")
        return 1.0
    notes.append("expected_average_only_in: the scale of activation_scaler.json is folded")
    return scale


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
