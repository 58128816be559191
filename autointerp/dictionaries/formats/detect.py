"""The one table of formats: which tool wrote a folder, by its contents, and what it holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from autointerp.dictionaries.formats import (
    dictionary_learning,
    flux1_saes,
    itda,
    overcomplete,
    saelens,
    saev,
    sdxl_unbox,
    sparsify,
    zhao_flux,
)
from autointerp.dictionaries.formats.imported import Imported
from autointerp.dictionaries.formats.source import AGAIN, Source
from autointerp.dictionaries.protocol import Dictionary
from autointerp.errors import AutointerpError, UsageError, nearest

MODULES: dict[str, ModuleType] = {
    module.NAME: module
    for module in (
        saelens,
        sparsify,
        dictionary_learning,
        sdxl_unbox,
        itda,
        overcomplete,
        saev,
        zhao_flux,
        flux1_saes,
    )
}
"""Format -> its module; each asks for tensors that the others do not have."""
WRITTEN: dict[str, tuple[str, ...]] = {name: m.WRITES for name, m in MODULES.items() if hasattr(m, "write")}
"""Format that can be written -> the kinds it expresses exactly."""


def detect(source: Source) -> str:
    """The format of what lies there.

    Raises:
        AutointerpError: None of them, or a file that cannot be opened.
    """
    found = _found(source)
    if found is None and source.enter_below():
        found = _found(source)
    if found is not None:
        return found
    if source.problems:
        raise next(iter(source.problems.values()))
    source.check_part()
    _refuse_ours(source)
    if source.tensors("W_enc", "W_dec") is not None:
        source.raise_broken()
        raise AutointerpError(
            f"{source.asked} holds an autoencoder, but no configuration says which activation and biases it uses",
            "put the cfg.json or config.json of the tool that wrote it beside it",
        )
    raise AutointerpError(
        f"{source.asked} is of no known format",
        f"known: {', '.join(MODULES)}; its files must hold the dictionary's tensors by their original names",
    )


def _found(source: Source) -> str | None:
    return next((name for name, module in MODULES.items() if module.detect(source)), None)


def _refuse_ours(source: Source) -> None:
    """Refuse a dictionary of a workspace, which lies there without what a bundle says of it."""
    config = source.config("kind", "num_latents", "weights_sha256")
    if config is not None:
        raise AutointerpError(
            f"{source.asked} is a dictionary of a workspace, or a bundle without its manifest.json",
            "export it there as a bundle, or copy the bundle whole",
        )


def read_format(source: Source, form: str = "auto", k: int | None = None) -> tuple[str, Imported]:
    """Read another tool's dictionary; returns its format's name with it.

    Args:
        source: Its files.
        form: A format's name, or `auto` for what the contents say.
        k: Latents that fire in a token, for files that do not say.

    Raises:
        UsageError: There is no such format.
        AutointerpError: As `Format.read`, or the contents are of another format.
    """
    if form != "auto" and form not in MODULES:
        raise UsageError(f"there is no format {form!r}", nearest(form, ["auto", *MODULES]))
    name = detect(source) if form == "auto" else form
    if form == "auto" and name == dictionary_learning.NAME:
        dictionary_learning.check_told(source)
    if (
        form != "auto"
        and not MODULES[form].detect(source)
        and not (source.enter_below() and MODULES[form].detect(source))
    ):
        if source.problems:
            raise next(iter(source.problems.values()))
        source.check_part()
        source.raise_broken()
        raise AutointerpError(f"{source.asked} is not of the format {form}", "leave --format out to have it detected")
    source.start_reading()
    try:
        imported: Imported = MODULES[name].read(source, k)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise AutointerpError(
            f"{source.asked}: its configuration is not as {name} writes it ({error})", AGAIN
        ) from error
    if k is not None and imported.dictionary.k not in (None, k):
        raise UsageError(f"{source.asked} says k {imported.dictionary.k}, not {k}", "leave -k out")
    hookpoint, signal, model = (_text(value) for value in (imported.hookpoint, imported.signal, imported.model))
    notes = tuple(dict.fromkeys([*source.notes, *imported.notes]))
    return name, replace(imported, hookpoint=hookpoint, signal=signal, model=model, notes=notes)


def _text(value: object) -> str | None:
    """What a configuration says, where it says a word."""
    return value if isinstance(value, str) and value else None


def check_writable(dictionary: Dictionary, form: str) -> None:
    """Whether a format expresses a dictionary exactly.

    Raises:
        AutointerpError: It does not; the hint names the formats that do.
    """
    reason = ""
    if getattr(dictionary, "modulation", None) is not None:
        reason, others = "depends on the denoising step, which no other tool knows", []
    else:
        others = [name for name, kinds in WRITTEN.items() if dictionary.kind in kinds]
        if dictionary.kind not in WRITTEN[form]:
            reason = f"is of kind {dictionary.kind}, which {form} cannot express exactly"
    if reason:
        hint = f"use --format {' or '.join([*others, 'bundle'])}"
        raise AutointerpError(f"the dictionary {reason}", hint)


def write_format(dictionary: Dictionary, form: str, out: Path, provenance: dict[str, Any]) -> None:
    """Write the files of a format into an existing folder.

    Raises:
        AutointerpError: As `check_writable`.
    """
    check_writable(dictionary, form)
    MODULES[form].write(dictionary.to("cpu"), out, provenance)
