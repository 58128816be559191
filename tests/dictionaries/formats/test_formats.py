"""Other tools' files, made here from their documented tensors, against their documented formulas written plainly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autointerp.dictionaries.formats.detect import MODULES, detect, read_format
from autointerp.dictionaries.formats.source import Source
from autointerp.dictionaries.transcoders import Transcoder

D, N, K, ROWS = 6, 20, 4, 64
Case = tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]
"""(encode to a dense code [rows, N], decode it)."""


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def topk(values: torch.Tensor, k: int = K) -> torch.Tensor:
    best = values.topk(k, dim=-1)
    return torch.zeros_like(values).scatter(-1, best.indices, best.values.relu())


def dump(folder: Path, name: str, content: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".safetensors"):
        save_file({k: v.contiguous() for k, v in content.items()}, folder / name)
    elif name.endswith((".pt", ".pth")):
        torch.save(content, folder / name)
    else:
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """W_enc [D, N], b_enc [N], W_dec [N, D], b_dec [D]."""
    return noise(D, N), noise(N) * 0.3, noise(N, D), noise(D) * 0.5


# SAELens


def saelens(folder: Path, architecture: str, more: dict[str, Any] | None = None, flat: bool = False, **tensors: Any):
    W_enc, b_enc, W_dec, b_dec = parts()
    named = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec, **tensors}
    dump(folder, "sae_weights.safetensors", {k: v for k, v in named.items() if v is not None})
    config: dict[str, Any] = {"d_in": D, "d_sae": N, "dtype": "float32", "apply_b_dec_to_input": True}
    if flat:
        config |= {"hook_point": "unet.mid_block.attentions.0", "model_name": "m"}
    else:
        metadata = {"sae_lens_version": "6.18.0", "hook_name": "unet.mid_block.attentions.0", "model_name": "m"}
        config |= {"architecture": architecture, "metadata": metadata, "normalize_activations": "none"}
    dump(folder, "cfg.json", {**config, **(more or {})})


def saelens_topk(folder: Path) -> Case:
    saelens(folder, "topk", {"k": K, "rescale_acts_by_decoder_norm": False})
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: topk((x - b_dec) @ W_enc + b_enc), lambda f: f @ W_dec + b_dec


def saelens_rescaled(folder: Path) -> Case:
    saelens(folder, "topk", {"k": K, "rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": False})
    W_enc, b_enc, W_dec, b_dec = parts()
    norm = W_dec.norm(dim=-1)
    return lambda x: topk((x @ W_enc + b_enc) * norm), lambda f: (f / norm) @ W_dec + b_dec


def saelens_jumprelu(folder: Path) -> Case:
    threshold = noise(N).abs()
    saelens(folder, "jumprelu", threshold=threshold)
    W_enc, b_enc, W_dec, b_dec = parts()

    def encode(x: torch.Tensor) -> torch.Tensor:
        pre = (x - b_dec) @ W_enc + b_enc
        return pre.relu() * (pre > threshold)

    return encode, lambda f: f @ W_dec + b_dec


def saelens_standard(folder: Path) -> Case:
    saelens(folder, "standard", {"apply_b_dec_to_input": False})
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: (x @ W_enc + b_enc).relu(), lambda f: f @ W_dec + b_dec


def saelens_gated(folder: Path, applied: bool = True) -> Case:
    gate, mag, r_mag = noise(N, seed=1), noise(N, seed=2), noise(N, seed=3) * 0.2
    saelens(folder, "gated", {"apply_b_dec_to_input": applied}, b_enc=None, b_gate=gate, b_mag=mag, r_mag=r_mag)
    W_enc, _, W_dec, b_dec = parts()

    def encode(x: torch.Tensor) -> torch.Tensor:
        x = x - b_dec * applied
        return (x @ W_enc + gate > 0) * (x @ (W_enc * r_mag.exp()) + mag).relu()

    return encode, lambda f: f @ W_dec + b_dec


def saelens_flat(folder: Path) -> Case:
    more = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": False}
    saelens(folder, "", more, flat=True, scaling_factor=torch.ones(N))
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: topk((x - b_dec) @ W_enc + b_enc), lambda f: f @ W_dec + b_dec


def saelens_finetuned(folder: Path) -> Case:
    factor = noise(N).abs() + 0.5
    saelens(folder, "", {"finetuning_scaling_factor": True}, flat=True, scaling_factor=factor)
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: ((x - b_dec) @ W_enc + b_enc).relu(), lambda f: (f * factor) @ W_dec + b_dec


def saelens_scaler(folder: Path) -> Case:
    saelens(folder, "standard", {"normalize_activations": "expected_average_only_in"})
    dump(folder, "activation_scaler.json", {"scaling_factor": 0.25})
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: ((x * 0.25 - b_dec) @ W_enc + b_enc).relu(), lambda f: (f @ W_dec + b_dec) / 0.25


def saelens_transcoder(folder: Path) -> Case:
    saelens(folder, "transcoder", {"apply_b_dec_to_input": False, "d_out": D})
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: (x @ W_enc + b_enc).relu(), lambda f: f @ W_dec + b_dec


def saelens_jumprelu_transcoder(folder: Path) -> Case:
    threshold = noise(N) * 0.5
    more = {"apply_b_dec_to_input": False, "d_out": D}
    saelens(folder, "jumprelu_skip_transcoder", more, threshold=threshold, W_skip=noise(D, D))
    W_enc, b_enc, W_dec, b_dec = parts()

    def encode(x: torch.Tensor) -> torch.Tensor:
        pre = x @ W_enc + b_enc
        return pre.relu() * (pre > threshold)

    return encode, lambda f: f @ W_dec + b_dec


def saelens_pursuit(folder: Path) -> Case:
    _, _, W_dec, b_dec = parts()
    W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
    more = {"residual_threshold": 0.05}
    saelens(folder, "matching_pursuit", more, W_enc=None, b_enc=None, W_dec=W_dec)

    def encode(x: torch.Tensor) -> torch.Tensor:
        codes = torch.zeros(len(x), N)
        for code, row in zip(codes, x - b_dec, strict=True):
            while True:
                before, fits = code != 0, (W_dec @ row).relu()
                best = int(fits.argmax())
                code[best] += fits[best]
                row = row - fits[best] * W_dec[best]
                if torch.equal(before, code != 0) or row.norm() < 0.05:
                    break
        return codes

    return encode, lambda f: f @ W_dec + b_dec


def zhao(folder: Path, **config: Any) -> None:
    W_enc, b_enc, W_dec, b_dec = parts()
    tensors = {"pre_bias": b_dec, "encoder.weight": W_enc.T, "encoder.bias": b_enc, "decoder.weight": W_dec.T}
    said = {"layer": "layer15", "timestep": 13, "input_dim": D, "hidden_dim": N, "normalize_data": False, **config}
    dump(folder, "sae_best.pt", {"epoch": 3, "model_state_dict": tensors, "config": said})


def zhao_relu(folder: Path) -> Case:
    zhao(folder, use_topk=False, topk_k=None)
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: ((x - b_dec) @ W_enc + b_enc).relu(), lambda f: f @ W_dec + b_dec


def zhao_topk(folder: Path) -> Case:
    zhao(folder, use_topk=True, topk_k=K)
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: topk((x - b_dec) @ W_enc + b_enc), lambda f: f @ W_dec + b_dec


def saelens_batchtopk(folder: Path) -> Case:
    saelens(folder, "batchtopk", {"k": K}, topk_threshold=torch.tensor(0.7, dtype=torch.float64))
    W_enc, b_enc, W_dec, b_dec = parts()

    def encode(x: torch.Tensor) -> torch.Tensor:
        pre = (x - b_dec) @ W_enc + b_enc
        return pre.relu() * (pre > 0.7)

    return encode, lambda f: f @ W_dec + b_dec


# sparsify, SAeUron, sdxl-unbox


def sparsify(folder: Path, **more: Any) -> Case:
    W_enc, b_enc, W_dec, b_dec = parts()
    tensors = {"encoder.weight": W_enc.T, "encoder.bias": b_enc, "W_dec": W_dec, "b_dec": b_dec}
    dump(folder, "sae.safetensors", tensors)
    dump(folder, "cfg.json", {"d_in": D, "k": K, "num_latents": 0, "expansion_factor": 1, **more})
    return lambda x: topk(((x - b_dec) @ W_enc + b_enc).relu()), lambda f: f @ W_dec + b_dec


def saeuron(folder: Path) -> Case:
    return sparsify(folder, batch_topk=True, sample_topk=False, input_unit_norm=True, num_latents=N)


def sdxl_unbox(folder: Path, beside: bool = True) -> Case:
    W_enc, b_enc, W_dec, b_dec = parts()
    state = {
        "pre_bias": b_dec,
        "latent_bias": b_enc,
        "stats_last_nonzero": torch.zeros(N, dtype=torch.int64),
        "encoder.weight": W_enc.T.contiguous(),
        "decoder.weight": W_dec.T.contiguous(),
    }
    dump(folder, "state_dict.pth", {"state_dict": state})
    config = {"n_dirs_local": N, "d_model": D, "k": K, "auxk": 2, "dead_steps_threshold": 9}
    dump(folder, "config.json", config)
    if beside:
        dump(folder, "mean.pt", torch.ones(N))
        dump(folder, "std.pt", torch.ones(N))
    return lambda x: topk((x - b_dec) @ W_enc + b_enc).relu(), lambda f: f @ W_dec + b_dec


# dictionary_learning


def learned(folder: Path, name: str, tensors: dict[str, torch.Tensor], **trainer: Any) -> None:
    dump(folder, "ae.pt", {k: v.contiguous() for k, v in tensors.items()})
    dump(folder, "config.json", {"trainer": {"dict_class": name, "lm_name": "m", **trainer}, "buffer": {}})


def learned_linear() -> dict[str, torch.Tensor]:
    W_enc, b_enc, W_dec, _ = parts()
    return {"encoder.weight": W_enc.T, "encoder.bias": b_enc, "decoder.weight": W_dec.T}


def learned_relu(folder: Path) -> Case:
    W_enc, b_enc, W_dec, b_dec = parts()
    learned(folder, "AutoEncoder", {**learned_linear(), "bias": b_dec})
    norm = W_dec.norm(dim=1)  # What `normalize_decoder` of its from_pretrained does.
    W, b, D_ = W_enc * norm, b_enc * norm, W_dec / norm[:, None]
    return lambda x: ((x - b_dec) @ W + b).relu(), lambda f: f @ D_ + b_dec


def learned_new(folder: Path) -> Case:
    W_enc, b_enc, W_dec, b_dec = parts()
    learned(folder, "AutoEncoderNew", {**learned_linear(), "decoder.bias": b_dec})
    return lambda x: (x @ W_enc + b_enc).relu(), lambda f: f @ W_dec + b_dec


def learned_topk(folder: Path) -> Case:
    W_enc, b_enc, W_dec, b_dec = parts()
    figures = {"k": torch.tensor(K, dtype=torch.int32), "threshold": torch.tensor(0.9)}
    learned(folder, "AutoEncoderTopK", {**learned_linear(), "b_dec": b_dec, **figures}, k=K)
    return lambda x: topk(((x - b_dec) @ W_enc + b_enc).relu()), lambda f: f @ W_dec + b_dec


def learned_batchtopk(folder: Path, threshold: float = 0.9) -> Case:
    W_enc, b_enc, W_dec, b_dec = parts()
    figures = {"k": torch.tensor(K, dtype=torch.int32), "threshold": torch.tensor(threshold)}
    learned(folder, "BatchTopKSAE", {**learned_linear(), "b_dec": b_dec, **figures}, k=K)

    def encode(x: torch.Tensor) -> torch.Tensor:
        post = ((x - b_dec) @ W_enc + b_enc).relu()
        return post * (post > threshold)

    return encode, lambda f: f @ W_dec + b_dec


def learned_unset(folder: Path) -> Case:
    return learned_batchtopk(folder, -1.0)


def learned_matryoshka(folder: Path) -> Case:
    W_enc, b_enc, W_dec, b_dec = parts()
    figures = {"k": torch.tensor(K), "threshold": torch.tensor(0.6), "group_sizes": torch.tensor([N // 2, N // 2])}
    tensors = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec, **figures}
    learned(folder, "MatryoshkaBatchTopKSAE", tensors, k=K)

    def encode(x: torch.Tensor) -> torch.Tensor:
        post = ((x - b_dec) @ W_enc + b_enc).relu()
        return post * (post > 0.6)

    return encode, lambda f: f @ W_dec + b_dec


def learned_jumprelu(folder: Path) -> Case:
    W_enc, b_enc, W_dec, b_dec = parts()
    threshold = noise(N).abs()
    tensors = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec, "threshold": threshold}
    learned(folder, "JumpReluAutoEncoder", tensors)

    def encode(x: torch.Tensor) -> torch.Tensor:
        pre = x @ W_enc + b_enc
        return (pre * (pre > threshold)).relu()

    return encode, lambda f: f @ W_dec + b_dec


def learned_gated(folder: Path) -> Case:
    W_enc, _, W_dec, b_dec = parts()
    gate, mag, r_mag = noise(N, seed=1), noise(N, seed=2), noise(N, seed=3) * 0.2
    tensors = {"encoder.weight": W_enc.T, "decoder.weight": W_dec.T, "decoder_bias": b_dec}
    learned(folder, "GatedAutoEncoder", {**tensors, "gate_bias": gate, "mag_bias": mag, "r_mag": r_mag})

    def encode(x: torch.Tensor) -> torch.Tensor:
        x_enc = (x - b_dec) @ W_enc
        return (x_enc + gate > 0) * (r_mag.exp() * x_enc + mag).relu()

    return encode, lambda f: f @ W_dec + b_dec


def learned_midway(folder: Path) -> Case:
    """`ae.pt` as training leaves it: wrapped, for activations divided by `norm_factor`."""
    W_enc, b_enc, W_dec, b_dec = parts()
    state = {**learned_linear(), "b_dec": b_dec, "k": torch.tensor(K), "threshold": torch.tensor(0.5)}
    state = {k: v.contiguous() for k, v in state.items()}
    config = {"dict_class": "BatchTopKSAE", "lm_name": "m", "k": K}
    whole = {"step": 7, "ae": state, "optimizer": {"state": {}}, "config": config, "norm_factor": 3.0}
    dump(folder, "ae.pt", whole)

    def encode(x: torch.Tensor) -> torch.Tensor:
        post = ((x / 3 - b_dec) @ W_enc + b_enc).relu()
        return post * (post > 0.5) * 3

    return encode, lambda f: f @ W_dec + b_dec * 3


# ITDA


def itda_original(folder: Path) -> Case:
    atoms = torch.nn.functional.normalize(noise(N, D), dim=1)
    dump(folder, "atoms.pt", atoms)
    dump(folder, "atom_indices.pt", torch.zeros(N, 2, dtype=torch.int64))
    dump(folder, "metadata.yaml", f"k: {K}\nactivation_dim: {D}\nlm_name: m\nsubmodule_name: null\n")

    def encode(x: torch.Tensor) -> torch.Tensor:
        """Signed, then as our two latents an atom."""
        residual, code = x.clone(), torch.zeros(len(x), N)
        for _ in range(K):
            correlations = residual @ atoms.T
            best = correlations.abs().argmax(1)
            value = correlations.gather(1, best[:, None])
            code.scatter_add_(1, best[:, None], value)
            residual = residual - value * atoms[best]
        return torch.cat([code.relu(), (-code).relu()], 1)

    return encode, lambda f: (f[:, :N] - f[:, N:]) @ atoms


def itda_flux(folder: Path) -> Case:
    """Two steps over orthogonal atoms: no coefficient is ever clipped, so ours and theirs do the same."""
    size = 5
    atoms = torch.linalg.qr(noise(D, D))[0][:size].contiguous()
    padded = torch.full((8, D), torch.nan)
    padded[:size] = atoms
    mean, std = noise(D), noise(D).abs() + 0.5
    tensors = {"xs": padded, "ys": padded.clone(), "mean_x": mean, "mean_y": mean.clone(), "std_x": std}
    dump(folder, "sae.safetensors", {**tensors, "std_y": std.clone(), "weight": torch.full((D, D), torch.nan)})
    config = {"d_model": D, "target_l0": 2, "loss_threshold": 0.3, "subtract_mean": True, "dictionary_size": size}
    dump(folder, "cfg.json", config)

    def encode(x: torch.Tensor) -> torch.Tensor:
        x = x / std - mean
        weights = torch.zeros(len(x), size)
        for _ in range(2):
            residual = x - weights @ atoms
            inner = residual @ atoms.T
            chosen = (weights != 0).scatter(1, inner.argmax(1, keepdim=True), True)
            grad = chosen * inner
            c = grad @ atoms
            step = (c * residual).sum(1) / (c * c).sum(1).clamp_min(1e-3)
            weights = (weights + step[:, None] * grad).relu()
        return weights

    return encode, lambda f: (f @ atoms + mean) * std


# overcomplete, saev


def complete(folder: Path, **more: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    W_enc, b_enc, W_dec, _ = parts()
    tensors = {"encoder.final_block.0.weight": W_enc.T.contiguous(), "encoder.final_block.0.bias": b_enc}
    dictionary = {"dictionary._weights": W_dec, "dictionary.multiplier": torch.tensor(0.3)}
    dump(folder, "model.pt", {**tensors, **dictionary, **more})
    return W_enc, b_enc, W_dec / W_dec.norm(dim=1, keepdim=True) * torch.tensor(0.3).exp()


def overcomplete_topk(folder: Path) -> Case:
    W_enc, b_enc, rows = complete(folder)
    return lambda x: topk((x @ W_enc + b_enc).relu()), lambda f: f @ rows


def overcomplete_jump(folder: Path) -> Case:
    thresholds = noise(N) - 1
    W_enc, b_enc, rows = complete(folder, thresholds=thresholds)

    def encode(x: torch.Tensor) -> torch.Tensor:
        codes = (x @ W_enc + b_enc).relu()
        return torch.where(codes < thresholds.exp(), 0, codes)

    return encode, lambda f: f @ rows


def overcomplete_batchnorm(folder: Path) -> Case:
    mean, var, gain, shift = noise(N), noise(N, seed=4).abs() + 0.1, noise(N, seed=5), noise(N, seed=6)
    names = ("running_mean", "running_var", "weight", "bias")
    block = {f"encoder.final_block.1.{name}": t for name, t in zip(names, (mean, var, gain, shift), strict=True)}
    W_enc, b_enc, rows = complete(folder, **block)

    def encode(x: torch.Tensor) -> torch.Tensor:
        return topk(((x @ W_enc + b_enc - mean) / (var + 1e-5).sqrt() * gain + shift).relu())

    return encode, lambda f: f @ rows


def overcomplete_archetypes(folder: Path) -> Case:
    W_enc, b_enc, _, _ = parts()
    points, mix, relax = noise(9, D), noise(N, 9), noise(N, D) * 0.1
    state = {
        "encoder.final_block.0.weight": W_enc.T.contiguous(),
        "encoder.final_block.0.bias": b_enc,
        "dictionary.C": points,
        "dictionary.W": mix,
        "dictionary.Relax": relax,
        "dictionary.multiplier": torch.tensor(0.2),
    }
    dump(folder, "model.pt", state)
    convex = mix.relu() / (mix.relu().sum(1, keepdim=True) + 1e-8)
    rows = (convex @ points + relax * (1 / relax.norm(dim=1, keepdim=True)).clamp_max(1)) * torch.tensor(0.2).exp()
    return lambda x: topk((x @ W_enc + b_enc).relu()), lambda f: f @ rows


def saev(folder: Path, header: dict[str, Any], **more: torch.Tensor) -> None:
    W_enc, b_enc, W_dec, b_dec = parts()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "sae.pt").open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        torch.save({"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec, **more}, file)


def saev_topk(folder: Path) -> Case:
    activation = {"cls": "TopK", "params": {"top_k": K}}
    saev(folder, {"schema": 2, "cfg": {"d_vit": D, "activation": activation}, "lib": "0.2"})
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: topk(x @ W_enc + b_enc), lambda f: f @ W_dec + b_dec


def saev_oldest(folder: Path) -> Case:
    saev(folder, {"d_vit": D, "exp_factor": 3, "sparsity_coeff": 1e-4})
    W_enc, b_enc, W_dec, b_dec = parts()
    return lambda x: ((x - b_dec) @ W_enc + b_enc).relu(), lambda f: f @ W_dec + b_dec


def saev_batchtopk(folder: Path) -> Case:
    activation = {"kind": "batch-top-k", "top_k": K, "momentum": 0.1}
    header = {"schema": 5, "cfg": {"d_model": D, "d_sae": N, "activation": activation}}
    saev(folder, header, **{"activation.threshold": torch.tensor(0.8)})
    W_enc, b_enc, W_dec, b_dec = parts()

    def encode(x: torch.Tensor) -> torch.Tensor:
        pre = x @ W_enc + b_enc
        return torch.where(pre > 0.8, pre, 0)

    return encode, lambda f: f @ W_dec + b_dec


CASES: dict[str, tuple[str, Callable[[Path], Case], str, int | None, str]] = {
    # case -> (format, maker, kind, the user's -k, words that a note must have)
    "saelens topk": ("saelens", saelens_topk, "topk", None, ""),
    "saelens topk, rescaled, b_dec not applied": ("saelens", saelens_rescaled, "topk", None, "rescale_acts"),
    "saelens jumprelu": ("saelens", saelens_jumprelu, "jumprelu", None, ""),
    "saelens standard": ("saelens", saelens_standard, "relu", None, "apply_b_dec_to_input"),
    "saelens gated": ("saelens", saelens_gated, "gated", None, ""),
    "saelens gated, b_dec not applied": ("saelens", lambda f: saelens_gated(f, False), "gated", None, "folded"),
    "saelens before 6": ("saelens", saelens_flat, "topk", None, "before version 6"),
    "saelens scaling_factor": ("saelens", saelens_finetuned, "relu", None, "scaling_factor"),
    "saelens activation scaler": ("saelens", saelens_scaler, "relu", None, "activation_scaler.json"),
    "saelens batchtopk": ("saelens", saelens_batchtopk, "batchtopk", None, ""),
    "saelens transcoder": ("saelens", saelens_transcoder, "transcoder", None, "reads the input of the layer's MLP"),
    "saelens jumprelu_transcoder": ("saelens", saelens_jumprelu_transcoder, "transcoder", None, ""),
    "saelens matching_pursuit": ("saelens", saelens_pursuit, "matching-pursuit", None, ""),
    "zhao-flux, relu": ("zhao-flux", zhao_relu, "relu", None, "step 13 of 20"),
    "zhao-flux, topk": ("zhao-flux", zhao_topk, "topk", None, ""),
    "sparsify": ("sparsify", sparsify, "topk", None, "signal output"),
    "saeuron": ("sparsify", saeuron, "topk", None, "per-token top-k"),
    "sdxl-unbox": ("sdxl-unbox", sdxl_unbox, "topk", None, "signal update"),
    "sdxl-unbox without mean and std": ("sdxl-unbox", lambda f: sdxl_unbox(f, False), "topk", None, "update"),
    "AutoEncoder": ("dictionary-learning", learned_relu, "relu", None, "from_pretrained"),
    "AutoEncoderNew": ("dictionary-learning", learned_new, "relu", None, ""),
    "AutoEncoderTopK": ("dictionary-learning", learned_topk, "topk", None, ""),
    "BatchTopKSAE": ("dictionary-learning", learned_batchtopk, "batchtopk", None, ""),
    "BatchTopKSAE without a threshold": ("dictionary-learning", learned_unset, "batchtopk", None, "never set"),
    "MatryoshkaBatchTopKSAE": ("dictionary-learning", learned_matryoshka, "batchtopk", None, ""),
    "JumpReluAutoEncoder": ("dictionary-learning", learned_jumprelu, "jumprelu", None, ""),
    "GatedAutoEncoder": ("dictionary-learning", learned_gated, "gated", None, ""),
    "ae.pt in the midst of training": ("dictionary-learning", learned_midway, "batchtopk", None, "norm_factor"),
    "itda, original": ("itda", itda_original, "itda", None, "matching pursuit"),
    "itda, flux": ("itda", itda_flux, "itda", None, "3 rows"),
    "overcomplete TopKSAE": ("overcomplete", overcomplete_topk, "topk", K, "scaled to length 1"),
    "overcomplete JumpSAE": ("overcomplete", overcomplete_jump, "jumprelu", None, ""),
    "overcomplete, batch norm": ("overcomplete", overcomplete_batchnorm, "topk", K, "batch normalisation"),
    "overcomplete RATopKSAE": ("overcomplete", overcomplete_archetypes, "topk", K, "delta"),
    "saev topk": ("saev", saev_topk, "topk", None, "fewer than k"),
    "saev before schemas": ("saev", saev_oldest, "relu", None, "b_dec is subtracted"),
    "saev batchtopk": ("saev", saev_batchtopk, "batchtopk", None, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_its_tool_documents(tmp_path: Path, case: str) -> None:
    form, make, kind, k, said = CASES[case]
    encode, decode = make(tmp_path / "a")
    name, imported = read_format(Source(tmp_path / "a"), k=k)
    dictionary = imported.dictionary
    assert (name, dictionary.kind) == (form, kind)
    assert any(said in note for note in imported.notes) or not said
    x = noise(ROWS, D, seed=9) * 2
    code, wanted = dictionary.encode(x), encode(x)
    dense = torch.zeros(ROWS, dictionary.num_latents).scatter_add_(1, code.latent_indices, code.latent_acts)
    torch.testing.assert_close(dense, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dictionary.decode(code), decode(wanted), atol=1e-5, rtol=1e-5)
    assert (wanted > 0).any(1).float().mean() > 0.9, "the case says nothing where no latent fires"


@pytest.mark.parametrize("case", CASES)
def test_names_do_not_mislead(tmp_path: Path, case: str) -> None:
    """The same contents in files and folders named for other tools."""
    form, make, kind, k, _ = CASES[case]
    make(tmp_path / "sdxl-unbox" / "sparsify")
    folder = tmp_path / "sdxl-unbox" / "sparsify"
    for path in list(folder.iterdir()):
        if path.suffix in (".safetensors", ".pt", ".pth") and path.name not in ("mean.pt", "std.pt"):
            path.rename(folder / f"sae_{path.stem}{path.suffix}")
        elif path.suffix == ".json" and path.name != "activation_scaler.json":
            path.rename(folder / "trainer_config.json")
    assert detect(Source(tmp_path)) == form
    assert read_format(Source(tmp_path), form, k)[1].dictionary.kind == kind


def test_every_format_has_a_case() -> None:
    of_orbax = {"flux1-saes"}  # test_orbax.py
    assert {case[0] for case in CASES.values()} | of_orbax == set(MODULES)


def test_what_the_files_say_of_their_place(tmp_path: Path) -> None:
    folder = tmp_path / "unet.up_blocks.0.attentions.1_k10_hidden5120_auxk256_bs4096_lr0.0001" / "final"
    sdxl_unbox(folder)
    found = read_format(Source(folder))[1]
    assert (found.hookpoint, found.signal, found.model) == ("unet.up_blocks.0.attentions.1", "update", None)
    assert read_format(Source(folder / "state_dict.pth"))[1].hookpoint == "unet.up_blocks.0.attentions.1"
    saeuron(tmp_path / "unet.up_blocks.1.attentions.1")
    found = read_format(Source(tmp_path / "unet.up_blocks.1.attentions.1"))[1]
    assert (found.hookpoint, found.signal) == ("unet.up_blocks.1.attentions.1", "output")
    for make in (saelens_topk, saelens_flat):
        make(tmp_path / make.__name__)
        found = read_format(Source(tmp_path / make.__name__))[1]
        assert (found.hookpoint, found.signal, found.model) == ("unet.mid_block.attentions.0", None, "m")
    learned_topk(tmp_path / "trainer_0")
    found = read_format(Source(tmp_path / "trainer_0"))[1]
    assert (found.hookpoint, found.signal, found.model) == (None, None, "m")


def test_a_checkpoint_below_its_run(tmp_path: Path) -> None:
    """dictionary_learning keeps the configuration of `checkpoints/ae_N.pt` one folder up."""
    learned_batchtopk(tmp_path / "trainer_0")
    (tmp_path / "trainer_0" / "checkpoints").mkdir()
    (tmp_path / "trainer_0" / "ae.pt").rename(tmp_path / "trainer_0" / "checkpoints" / "ae_10.pt")
    for path in (tmp_path, tmp_path / "trainer_0" / "checkpoints", tmp_path / "trainer_0/checkpoints/ae_10.pt"):
        assert read_format(Source(path))[1].dictionary.kind == "batchtopk"


def test_zhao_flux_says_its_place_and_step(tmp_path: Path) -> None:
    zhao(tmp_path / "a", use_topk=True, topk_k=K)
    imported = read_format(Source(tmp_path / "a" / "sae_best.pt"))[1]
    assert (imported.hookpoint, imported.signal) == ("transformer.transformer_blocks.15.ff", "output")
    assert imported.provenance["steps"] == [13]


def test_a_skip_connection_reads_the_input(tmp_path: Path) -> None:
    saelens_jumprelu_transcoder(tmp_path / "a")
    made = read_format(Source(tmp_path / "a"))[1].dictionary
    assert isinstance(made, Transcoder)
    x = noise(ROWS, D, seed=9)
    code = made.encode(x)
    assert torch.allclose(made.transcode(x, code), made.decode(code) + x @ noise(D, D).T, atol=1e-5)
