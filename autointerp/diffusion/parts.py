"""Load the parts of a pipeline that have weights, each checked to be covered by its files.

Where files lack a weight, the libraries draw it at random and log a warning. So a text encoder whose names do not fit
would be another one at every load. Every part is loaded with an account of what was found, and refused where that does
not cover it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.weights import FUSE, adapted, components_of, variant_of, wrapped
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    import torch

_COMPUTED = ("inv_freq", "freqs", "pos_embed")
"""Buffers that a model computes from its configuration, where its files lack them."""


def load_parts(
    name: str, folder: Path, index: Mapping[str, Any], without: Collection[str], **how: Any
) -> tuple[dict[str, torch.nn.Module], list[str]]:
    """Load every model among the parts of a pipeline's folder.

    Args:
        name: The model's name, for errors.
        folder: The pipeline's folder.
        index: The content of its `model_index.json`.
        without: Parts that are not loaded here.
        how: See `load_part`; `quantization` maps parts to the configuration that each is quantized by.

    Returns:
        The models by part, and notes of weights that were left out.

    Raises:
        AutointerpError: The files of a part do not cover it.
    """
    quantization, variant = how.pop("quantization", {}), how.pop("variant", None)
    loaded, notes = {}, []
    for component in components_of(index, without):
        kind = _class_of(component.library, component.kind)
        if kind is None:
            continue
        path = folder / component.part if (folder / component.part).is_dir() else folder
        given = dict(how)
        if (chosen := variant_of(path, variant)) is not None:
            given["variant"] = chosen
        if component.part in quantization:
            given["quantization_config"] = quantization[component.part]
        model, left_out = load_part(f"the {component.part} of {name!r}", kind, path, **given)
        loaded[component.part] = model
        if left_out:
            notes.append(
                f"the {component.part} of {name} has no place for {len(left_out)} of the weights in its files, such as "
                f"{min(left_out)}; they are left out"
            )
    return loaded, notes


def load_part(
    what: str, kind: Any, source: str | Path, dtype: torch.dtype, **given: Any
) -> tuple[torch.nn.Module, set[str]]:
    """Load a model of diffusers or transformers.

    Args:
        what: The part's name in errors.
        kind: The class.
        source: The part's folder, or a hub id with `subfolder` among the rest.
        dtype: The dtype of the weights.
        given: Further arguments of `from_pretrained`.

    Returns:
        The model, and the names of weights in the files that belong to no module of it.

    Raises:
        AutointerpError: The files do not cover the model, or hold more of its modules than it has.
    """
    key = "dtype" if kind.__module__.startswith("transformers.") else "torch_dtype"
    model, found = kind.from_pretrained(
        source, **{key: dtype}, output_loading_info=True, ignore_mismatched_sizes=True, **given
    )
    check_cover(what, model, found)
    return model, set(found["unexpected_keys"])


def check_cover(what: str, model: torch.nn.Module, found: Mapping[str, Any]) -> None:
    """Check the account that a library gives of a model's loading.

    Weights that are tied to others, and buffers that are computed, may be missing. Files may hold modules that the
    model lacks, such as the decoder beside T5's encoder.

    Args:
        what: The part's name in errors.
        model: The model.
        found: `missing_keys`, `unexpected_keys`, and `mismatched_keys` as (name, shape in the file, shape wanted).

    Raises:
        AutointerpError: A weight is missing or has another shape, or the files hold more of a module than the model.
    """
    own = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}
    shapes = {one[0]: one[1:] for one in found["mismatched_keys"]}
    missing = _lacking(model, own, set(found["missing_keys"]) - set(shapes))
    unexpected = set(found["unexpected_keys"])
    own_modules = {child for child, _ in model.named_children()}
    surplus = {key for key in unexpected if key.partition(".")[0] in own_modules and not _is_computed(key)}
    if not (missing or shapes or surplus):
        return
    if (one := adapted(unexpected | missing)) is not None:
        raise AutointerpError(f"{what} was saved with a LoRA still attached ({one!r})", FUSE)
    total = len(model.state_dict())
    hint = "take config.json and weights of the same model, or fetch it again"
    if missing:
        beside = f"; its files hold {len(unexpected)} others, such as {min(unexpected)!r}" if unexpected else ""
        hint = wrapper[1] if (wrapper := wrapped(unexpected)) else hint
        raise AutointerpError(
            f"{what} lacks {len(missing)} of its {total} weights, such as {min(missing)!r}{beside}", hint
        )
    if shapes:
        first = min(shapes)
        there, wanted = (list(shape) for shape in shapes[first])
        raise AutointerpError(
            f"{what} has {len(shapes)} of its {total} weights in another shape: {first!r} is {there}, not {wanted}",
            hint,
        )
    raise AutointerpError(
        f"the files of {what} hold {len(surplus)} weights that it has no place for, such as {min(surplus)!r}", hint
    )


def check_filled(name: str, parts: Mapping[str, Any]) -> None:
    """Check that no weight of a pipeline is without a value, as loading from a single file may leave it.

    Raises:
        AutointerpError: One is.
    """
    import torch

    for part, model in parts.items():
        if not isinstance(model, torch.nn.Module):
            continue
        empty = [key for key, weight in model.named_parameters() if weight.is_meta]
        if empty:
            total = sum(1 for _ in model.parameters())
            raise AutointerpError(
                f"the {part} of {name!r} lacks {len(empty)} of its {total} weights, such as {min(empty)!r}",
                "give a whole checkpoint, or a pipeline's folder",
            )


def _class_of(library: str, kind: str) -> Any:
    """Return the class of a part whose loading can be checked: a model of diffusers or transformers; else None."""
    import diffusers
    import transformers

    home = {"diffusers": diffusers, "transformers": transformers}.get(library)
    found = getattr(home or getattr(diffusers.pipelines, library, None), kind, None)
    is_model = isinstance(found, type) and issubclass(found, (diffusers.ModelMixin, transformers.PreTrainedModel))
    return found if is_model else None


def _is_computed(key: str) -> bool:
    """Whether a name is that of a buffer that models compute, in whatever version of a library."""
    last = key.rpartition(".")[2]
    return last.endswith("position_ids") or last == "num_batches_tracked" or any(part in last for part in _COMPUTED)


def _lacking(model: torch.nn.Module, own: Mapping[str, torch.Tensor], missing: set[str]) -> set[str]:
    """Return the missing names without those that are computed, or share their tensor with a weight that is there."""
    buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    there = {id(tensor) for name, tensor in own.items() if name not in missing}
    return {name for name in missing if not (name in buffers and _is_computed(name)) and id(own.get(name)) not in there}
