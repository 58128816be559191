"""A dictionary on disk: `cfg.json` beside `weights.safetensors`. Neither can run code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autointerp.dictionaries.kinds import KINDS
from autointerp.dictionaries.protocol import Dictionary
from autointerp.errors import AutointerpError
from autointerp.files import replacing, sha256_of
from autointerp.filetypes import check_may_be_weights, check_no_pointer

FORMAT = 1
"""Version of the folder's layout, raised with every change that an older reader cannot follow."""
_WEIGHTS = "weights.safetensors"
_RESTORE = "copy the folder again from a backup, import its bundle, or fit it again"


def save_dictionary(dictionary: Dictionary, folder: Path, provenance: dict[str, Any]) -> str:
    """Write a dictionary whole, and return the SHA-256 of its weights.

    `provenance` (model, revision, layer, hookpoint, signal, seed, ...) is kept in `cfg.json` under its own key, so that
    the folder alone says which model and layer the dictionary belongs to.
    """
    from safetensors.torch import save

    config, tensors = dictionary.state()
    weights = save(tensors)
    digest = hashlib.sha256(weights).hexdigest()
    text = json.dumps({"format": FORMAT, **config, "weights_sha256": digest, "provenance": provenance}, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    # The configuration is written last, so that a folder with a configuration is whole.
    for name, data in ((_WEIGHTS, weights), ("cfg.json", text.encode() + b"\n")):
        with replacing(folder / name) as partial:
            partial.write_bytes(data)
    return digest


def read_config(folder: Path) -> dict[str, Any]:
    """Read the `cfg.json` of a dictionary's folder."""
    path = folder / "cfg.json"
    check_no_pointer(path)
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise AutointerpError(f"no dictionary in {folder}", "a dictionary folder holds cfg.json") from None
    except (ValueError, OSError, RecursionError) as error:
        raise AutointerpError(f"cannot read {path}: {error}", _RESTORE) from None
    if not isinstance(config, dict) or config.get("kind") not in list(KINDS):
        kind = config.get("kind") if isinstance(config, dict) else None
        raise AutointerpError(f"{folder}: dictionary of unknown kind {kind!r}", f"known: {', '.join(KINDS)}")
    version = config.get("format", 0)
    if not isinstance(version, int) or version > FORMAT:
        raise AutointerpError(f"{folder}: written by a newer autointerp", "upgrade autointerp to read it")
    return config


def load_dictionary(path: str | Path, weights_sha256: str | None = None) -> Dictionary:
    """Load a dictionary from its folder. Raw activations go in, so nothing else is needed to use it.

    Args:
        path: The folder.
        weights_sha256: SHA-256 that the weights must have, as a database knows it; None trusts `cfg.json`.

    Raises:
        AutointerpError: The folder holds no dictionary, a newer format, weights that do not match their hash, or
            weights that do not fit `cfg.json`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(path)
    config = read_config(folder)
    check_may_be_weights(folder / _WEIGHTS)
    try:
        weights = (folder / _WEIGHTS).read_bytes()
    except OSError as error:
        raise _unreadable(folder, error) from None
    _check_digest(folder, config, hashlib.sha256(weights).hexdigest(), weights_sha256)
    try:
        made = KINDS[config["kind"]].load().from_state(config, load(weights))
    except SafetensorError as error:
        raise _unreadable(folder, error) from None
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise AutointerpError(f"the weights in {folder} do not fit its cfg.json ({reason})", _RESTORE) from None
    if any(config.get(name, size) != size for name, size in (("d_in", made.d_in), ("num_latents", made.num_latents))):
        raise AutointerpError(
            f"the weights in {folder} are [{made.d_in}, {made.num_latents}], its cfg.json says otherwise", _RESTORE
        )
    return made


def check_dictionary(folder: Path, weights_sha256: str) -> None:
    """Check that a folder holds the dictionary that a database knows, without loading it.

    Raises:
        AutointerpError: A file is missing or cannot be read, or the weights have another hash.
    """
    config, path = read_config(folder), folder / _WEIGHTS
    check_may_be_weights(path)
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise _unreadable(folder, error) from None
    _check_digest(folder, config, digest, weights_sha256)


def _unreadable(folder: Path, error: Exception) -> AutointerpError:
    return AutointerpError(f"cannot read the weights in {folder}: {error}", _RESTORE)


def _check_digest(folder: Path, config: Mapping[str, Any], digest: str, known: str | None) -> None:
    """Refuse weights that are not those that `cfg.json` and a database name."""
    if config.get("weights_sha256") not in (None, digest):
        raise AutointerpError(
            f"the weights in {folder} are not those cfg.json names: {_WEIGHTS} was cut short or changed", _RESTORE
        )
    if known not in (None, digest):
        raise AutointerpError(f"the weights in {folder} are not those that the database knows", _RESTORE)
