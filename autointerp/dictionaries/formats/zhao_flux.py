"""SAEs of FLUX.1-dev by Lucas Zhao: `sae_best.pt`, which holds its configuration beside its weights.

They read what the image's MLP of a double block writes, at one of 20 steps. The file says so by `layer5` or `layer15`
and a step, not by a path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from autointerp.dictionaries.formats.configuration import Configuration
from autointerp.dictionaries.formats.imported import Imported, check_size, refuse
from autointerp.dictionaries.formats.source import Source
from autointerp.dictionaries.sae import SAE, ReLU, TopK

NAME = "zhao-flux"
_NAMES = ("pre_bias", "encoder.weight", "encoder.bias", "decoder.weight")
_LAYER = re.compile(r"^layer(\d+)$")
_STEPS = 20


def detect(source: Source) -> bool:
    """An encoder with a bias, a decoder without one, and a bias before both."""
    return source.tensors(*_NAMES) is not None


def read(source: Source, k: int | None = None) -> Imported:
    """Read `relu((x - pre_bias) W^T + b)`, of which a top-k is kept where the configuration says so.

    Raises:
        AutointerpError: As `Format.read`; an SAE of standardised activations is refused.
    """
    tensors = source.tensors(*_NAMES)
    if tensors is None:
        refuse(source, "no SAE of this layout", f"its file has {', '.join(_NAMES)}")
    notes: list[str] = []
    inside = tensors.beside.get("config")
    beside = source.config("input_dim", "hidden_dim") or {}
    config = Configuration(source.asked, inside if isinstance(inside, Mapping) else beside, notes)
    n, d_in = tensors.matrix("encoder.weight")
    sizes = {"hidden_dim": (config["hidden_dim"], n), "input_dim": (config["input_dim"], d_in)}
    check_size(source, tensors, sizes)
    if config.flag("normalize_data", False, "activations were not standardised, the default of its training"):
        refuse(
            source,
            "it was trained on standardised activations, whose means and deviations its file does not hold",
            "fold them into the weights where it was made",
        )
    four = (
        tensors.take("encoder.weight", n, d_in).T.contiguous(),
        tensors.take("encoder.bias", n),
        tensors.take("decoder.weight", d_in, n).T.contiguous(),
        tensors.take("pre_bias", d_in),
    )
    is_topk = config.flag("use_topk", k is not None, "read with a ReLU" if k is None else "read as a top-k, as -k says")
    sae: SAE = TopK(*four, k=config.needed_k(config["topk_k"], k, n, "topk_k")) if is_topk else ReLU(*four, k=None)
    layer = _LAYER.match(str(config["layer"] or ""))
    hookpoint = None if layer is None else f"transformer.transformer_blocks.{layer[1]}.ff"
    step = config["timestep"]
    if isinstance(step, int):
        notes.append(f"it was trained at step {step} of {_STEPS}, counted from 0: set capture_steps to [{step}]")
    provenance = {"steps": [step]} if isinstance(step, int) else {}
    return Imported(sae, hookpoint, "output", notes=tuple(notes), provenance=provenance)
