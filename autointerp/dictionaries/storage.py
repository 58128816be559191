"""A dictionary on disk: `cfg.json` beside `weights.safetensors`, nothing that could run code."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from autointerp.dictionaries.baselines import PCA, Neurons, RandomDirections
from autointerp.dictionaries.itda import ITDA
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.sae import BatchTopK, Gated, JumpReLU, ReLU, TopK
from autointerp.errors import AutointerpError

FORMAT = 1
"""Version of the folder's layout; raised on every change that an older reader cannot follow."""

KINDS: dict[str, Any] = {
    cls.kind: cls for cls in (TopK, BatchTopK, JumpReLU, ReLU, Gated, ITDA, Neurons, PCA, RandomDirections)
}
"""Kind -> class with `from_state(config, tensors)`."""


def save_dictionary(dictionary: Dictionary, folder: Path, provenance: dict[str, Any]) -> str:
    """Write a dictionary whole; return the sha256 of its weights.

    `provenance` (model, revision, layer, hookpoint, signal, seed, ...) is kept in `cfg.json` under its own key, so
    that the folder alone says what the dictionary belongs to.
    """
    from safetensors.torch import save

    config, tensors = dictionary.state()
    weights = save(tensors)
    digest = hashlib.sha256(weights).hexdigest()
    text = json.dumps({"format": FORMAT, **config, "weights_sha256": digest, "provenance": provenance}, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    # The configuration goes last: a folder with one is whole.
    for name, data in (("weights.safetensors", weights), ("cfg.json", text.encode() + b"\n")):
        temporary = folder / f".{name}.tmp"
        temporary.write_bytes(data)
        os.replace(temporary, folder / name)
    return digest


def read_config(folder: Path) -> dict[str, Any]:
    """The `cfg.json` of a dictionary's folder."""
    try:
        config = json.loads((folder / "cfg.json").read_text())
    except FileNotFoundError:
        raise AutointerpError(f"no dictionary in {folder}", "a dictionary folder holds cfg.json") from None
    except (ValueError, OSError) as error:
        raise AutointerpError(f"cannot read {folder / 'cfg.json'}: {error}", "restore it or fit again") from None
    if not isinstance(config, dict) or config.get("kind") not in KINDS:
        kind = config.get("kind") if isinstance(config, dict) else None
        raise AutointerpError(f"{folder}: dictionary of unknown kind {kind!r}", f"known: {', '.join(KINDS)}")
    if config.get("format", 0) > FORMAT:
        raise AutointerpError(f"{folder}: written by a newer autointerp", "upgrade autointerp to read it")
    return config


def load_dictionary(path: str | Path) -> Dictionary:
    """Load a dictionary from its folder; raw activations go in, so nothing else is needed to use it.

    Raises:
        AutointerpError: not a dictionary, of a newer format, or with weights that do not match their hash.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(path)
    config = read_config(folder)
    try:
        weights = (folder / "weights.safetensors").read_bytes()
        tensors = load(weights)
    except (OSError, SafetensorError) as error:
        raise AutointerpError(f"cannot read the weights in {folder}: {error}", "fit or copy it again") from None
    if config.get("weights_sha256") not in (None, hashlib.sha256(weights).hexdigest()):
        raise AutointerpError(f"the weights in {folder} are not those cfg.json names", "fit or copy it again")
    loaded: Dictionary = KINDS[config["kind"]].from_state(config, tensors)
    return loaded
