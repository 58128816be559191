"""Reading a dictionary from the files of another tool or from a bundle; nothing is stored yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.export.bundle import MANIFEST, read_bundle
from autointerp.export.fetch import HUB, fetched
from autointerp.export.rows import ExportRow, read_lines
from autointerp.files import expanded
from autointerp.progress import note_before_torch
from autointerp.project.settings import HERE_ALONE, Settings
from autointerp.transfer.bundle_rows import CarriedDictionary, read_carried_dictionary
from autointerp.worlds import UNNAMED_MODEL, WORLDS

if TYPE_CHECKING:
    from autointerp.dictionaries.formats.imported import Imported
    from autointerp.progress import Progress

BUNDLE = "bundle"
LABELS = "labels.jsonl"
_IDENTIFYING = ("cfg.json", "weights.safetensors")
"""The files of a bundle that make the dictionary."""


@dataclass(frozen=True)
class CarriedRows:
    """The rows of a database that a bundle carries: the bundle's folder, and the row of its dictionary."""

    bundle: Path
    dictionary: CarriedDictionary


@dataclass(frozen=True)
class DictionaryFiles:
    """A dictionary as it was read from files.

    Attributes:
        path: The path or address as the user gave it.
        format: The format of the files.
        imported: The dictionary, and what the files say about it.
        hashes: Name -> SHA-256 of each file that was read.
        labels: The labels that lie beside the dictionary, one a feature.
        rows: The rows of a database, where the files are a bundle that carries them.
    """

    path: str
    format: str
    imported: Imported
    hashes: dict[str, str]
    labels: tuple[ExportRow, ...] = ()
    rows: CarriedRows | None = None


def read_import(
    path: str,
    form: str = "auto",
    k: int | None = None,
    local_files_only: bool = False,
    progress: Progress | None = None,
) -> DictionaryFiles:
    """Read a dictionary from a folder, a file or the hub, and check it.

    Args:
        path: A folder or file, or `hf:OWNER/REPO[/SUB]`; with `#PART`, the part of a file that holds several.
        form: A format, or `auto` to detect it from the contents.
        k: The number of latents that fire in a token, for files that do not say.
        local_files_only: Look only into the hub's cache, and do not ask the hub.
        progress: Is told that the files are read, before they are.

    Raises:
        UsageError: The format does not exist, or the folder holds several dictionaries.
        AutointerpError: The files cannot be fetched or opened, or the dictionary cannot be expressed exactly.
    """
    address, part = _split_part(path)
    if progress is not None and (address.startswith(HUB) or expanded(address).exists()):
        note_before_torch(progress, f"reading {path}")
    # Imported after the note, because PyTorch takes seconds to import.
    from autointerp.dictionaries.formats.detect import MODULES, read_format
    from autointerp.dictionaries.formats.source import Source

    known = ("auto", BUNDLE, *MODULES)
    if form not in known:
        raise UsageError(f"there is no format {form!r}", nearest(form, known))
    place = fetched(address, local_files_only)
    if form == BUNDLE or (form == "auto" and (place / MANIFEST).is_file()):
        return _read_bundle(path, place)
    source = Source(place, part)
    name, imported = read_format(source, form, k)
    labels = source.folder / LABELS
    rows = tuple(read_lines(labels)) if labels.is_file() else ()
    _check_labels(rows, labels, imported)
    return DictionaryFiles(path, name, imported, source.hashes(), rows)


def _split_part(path: str) -> tuple[str, str]:
    """Return the address of files, and the part of a file that is named after `#`; a file's own name may hold one."""
    if "#" not in path or expanded(path).exists():
        return path, ""
    address, _, part = path.rpartition("#")
    return address, part


def _read_bundle(path: str, place: Path) -> DictionaryFiles:
    """Read a bundle, and check the rows that it carries, if any."""
    from autointerp.dictionaries.formats.imported import Imported
    from autointerp.dictionaries.storage import load_dictionary

    bundle = read_bundle(place)
    provenance = bundle.provenance
    dictionary = load_dictionary(place)
    imported = Imported(
        dictionary,
        hookpoint=provenance.get("hookpoint"),
        signal=provenance.get("signal"),
        model=provenance.get("model"),
        provenance=provenance,
    )
    _check_labels(bundle.rows, place / LABELS, imported)
    rows = None
    if bundle.counts:
        carried = read_carried_dictionary(bundle, dictionary.kind, dictionary.d_in, dictionary.num_latents)
        rows = CarriedRows(place, carried)
    hashes = {name: digest for name, digest in bundle.files.items() if name in _IDENTIFYING}
    return DictionaryFiles(path, BUNDLE, imported, hashes, bundle.rows, rows)


def _check_labels(rows: tuple[ExportRow, ...], path: Path, imported: Imported) -> None:
    """Refuse labels of features that the dictionary does not have, and two labels of one feature."""
    n = imported.dictionary.num_latents
    beyond = next((row.index for row in rows if row.index >= n), None)
    if beyond is not None:
        raise AutointerpError(f"{path} names feature {beyond} of {n}", "it belongs to another dictionary: remove it")
    if len({row.index for row in rows}) != len(rows):
        raise AutointerpError(f"{path} labels a feature twice", "remove one of the lines")


def settings_of(files: DictionaryFiles) -> Settings | None:
    """Return the settings of the workspace that a bundle was exported from, for a workspace that is made for it.

    Settings that name servers, models to ask or keys are left out. Settings without a model mean `shapes`. Files
    without settings give the embedded model that they name, and None where they name no such model.

    Raises:
        AutointerpError: The settings have unknown keys or wrong values.
    """
    given = files.imported.provenance.get("settings")
    if files.rows is None or not isinstance(given, dict) or not given:
        named = files.imported.model
        return None if named is None or named not in WORLDS else Settings(model=named)
    try:
        kept = {key: value for key, value in given.items() if key not in HERE_ALONE}
        return Settings.from_values({"model": UNNAMED_MODEL, **kept})
    except UsageError as error:
        raise AutointerpError(f"the settings of {files.path} cannot be used: {error.message}", error.hint) from None
