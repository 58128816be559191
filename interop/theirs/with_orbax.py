"""Orbax: checkpoints of nev/flux1-saes's arrays, encoded by NumPy as its authors do."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import ml_dtypes
import numpy as np
import torch
from exchange import D, K, N, main, state
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import PyTreeCheckpointer


def arrays() -> dict[str, dict[str, np.ndarray]]:
    """Weights, and what whitens and standardises, as the checkpoints name them."""
    draw = np.random.default_rng(1)
    scales = draw.uniform(0.5, 2, D)
    whitening = np.linalg.qr(draw.normal(size=(D, D)))[0] * scales
    # The inputs have a deviation of 2 along each axis.
    mean, std = draw.normal(size=D) * 0.3, 2 * scales * draw.uniform(0.8, 1.2, D)
    groups = {
        "sae_params": {
            "W_enc": draw.normal(size=(D, N)) / D**0.5,
            "W_dec": draw.normal(size=(N, D)) / D**0.5,
            "b_pre": draw.normal(size=D) * 0.3,
            "b_post": draw.normal(size=D) * 0.3,
            "b_mid": draw.normal(size=N) * 0.3,
        },
        "info": {
            "feature_means": mean,
            "feature_square_means": mean**2 + std**2,
            "whitening_matrix": whitening,
            "avg_norm": np.array(3.0),
        },
    }
    return {part: {name: np.float32(array) for name, array in group.items()} for part, group in groups.items()}


def sharded(array: np.ndarray) -> jax.Array:
    """An array that lies on four devices, which are not there where the checkpoint is read."""
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    axes = ("rows",) if array.ndim else ()
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*axes)))


def write(folder: Path) -> None:
    """Arrays of the host, of several devices, and weights of half the precision."""
    for case in ("host", "four-devices", "bfloat16"):
        tree = arrays()
        if case == "bfloat16":
            tree["sae_params"] = {k: v.astype(ml_dtypes.bfloat16) for k, v in tree["sae_params"].items()}
        stored = jax.tree.map(sharded, tree) if case == "four-devices" else tree
        PyTreeCheckpointer().save((folder / case).absolute(), stored)
        p, info = ({k: v.astype(np.float64) for k, v in tree[part].items()} for part in ("sae_params", "info"))
        mean, W = info["feature_means"], info["whitening_matrix"]
        std = (info["feature_square_means"] - mean**2) ** 0.5

        def encode(x: torch.Tensor, p=p, mean=mean, std=std, W=W) -> torch.Tensor:
            normal = (x.numpy().astype(np.float64) @ W - mean) / std
            assert abs(normal).max() < 10, "the authors clip at 10, which an import cannot"
            pre = (normal - p["b_post"] + p["b_pre"]) @ p["W_enc"]
            best = np.argsort(-pre, axis=1)[:, :K]
            acts = np.zeros_like(pre)
            np.put_along_axis(acts, best, np.take_along_axis(pre, best, 1), 1)
            return torch.from_numpy(acts)

        def decode(acts: torch.Tensor, p=p, mean=mean, std=std, W=W) -> torch.Tensor:
            normal = acts.numpy() @ p["W_dec"] + p["b_post"]
            return torch.from_numpy((normal * std + mean) @ np.linalg.inv(W))

        state(folder, case, encode, decode)


main(write)
