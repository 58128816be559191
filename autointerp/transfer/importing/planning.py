"""The plan of an import: the dictionary's name, identity and place, decided before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import identity
from autointerp.project.plan import Step
from autointerp.stages.fit.planning import dictionary_name
from autointerp.texts import to_json
from autointerp.transfer.importing.placement import ImportRequest, Placement, place_dictionary

if TYPE_CHECKING:
    from autointerp.db import models
    from autointerp.project.context import Context
    from autointerp.transfer.bundle_rows import CarriedDictionary
    from autointerp.transfer.importing.reading import DictionaryFiles


@dataclass(frozen=True)
class ImportPlan:
    """A dictionary that would be imported, or that was imported before.

    Attributes:
        files: The dictionary as it was read.
        name: Its name in this workspace.
        identity: A hash of the files and of the place.
        placement: The layer that it reads; None where all rows of a bundle are restored, which say the layer.
        config: What its activations depend on, with the keys of a fit; empty where rows are restored.
        notes: The assumptions, for the user.
        row: The stored dictionary, detached; None until it is stored.
        is_new: True unless the dictionary was in the workspace already.
    """

    files: DictionaryFiles
    name: str
    identity: str
    placement: Placement | None
    config: dict[str, Any]
    notes: tuple[str, ...]
    row: models.DictionaryRow | None
    is_new: bool

    @property
    def labels(self) -> int:
        """How many features come with a name."""
        return sum(row.status == "ok" for row in self.files.labels)

    @property
    def step(self) -> Step:
        """The plan's line."""
        dictionary = self.files.imported.dictionary
        made = f"{dictionary.kind}, {dictionary.num_latents} latents, k {dictionary.k}, of {self.files.format}"
        return Step("import", self.name, self.is_new, f"{made}, {self.labels} labels")


def plan_import(ctx: Context, files: DictionaryFiles, request: ImportRequest) -> ImportPlan:
    """Decide what an imported dictionary is called and where it belongs.

    Raises:
        UsageError: The name is taken, the layer or signal does not exist, or neither the files nor the user say
            which layer it is.
        AutointerpError: The dictionary is not as wide as its layer.
    """
    if request.name is not None:
        ctx.workspace.dictionary_dir(request.name)  # Refuses a name that no folder can have.
    notes = files.imported.notes + note_of_weights(ctx, files.imported.provenance)
    if files.rows is not None:
        carried = files.rows.dictionary
        reason = _reason_against_rows(ctx, carried, request)
        if reason is None:
            ctx.workspace.dictionary_dir(carried.name)
            name, row = _free_name(ctx, carried.identity, carried.name, request.name)
            return ImportPlan(files, name, carried.identity, None, {}, notes, row, row is None)
        notes += (f"crops stay behind: they are {reason}",)
    placement = place_dictionary(ctx, files, request)
    dictionary, layer = files.imported.dictionary, placement.layer
    config = {
        **ctx.made_of(layer),
        "kind": dictionary.kind,
        "latents": dictionary.num_latents,
        "k": dictionary.k,
        "images": 0,
        "capture_steps": list(placement.steps),
    }
    key = identity({"import": files.format, "files": files.hashes, "made_of": config})
    usual = dictionary_name(config["model"], layer.name, layer.stream, dictionary.kind)
    name, row = _free_name(ctx, key, usual, request.name)
    return ImportPlan(files, name, key, placement, config, notes + placement.notes, row, row is None)


def note_of_weights(ctx: Context, provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note where a dictionary was read from other weights of its model than this workspace has.

    LoRAs and quantized weights are a part of the revision, behind a `+`. They are never taken from files that others
    made; the note says what to set.
    """
    there = str(provenance.get("revision") or "").partition("+")[2]
    if not there and not ctx.settings.loading.of_weights():
        return ()  # Both are as published. The model, which may not be here, need not be looked at.
    try:
        here = (ctx.description.revision or "").partition("+")[2]
    except AutointerpError:
        here = ""  # The model is not here, so its LoRAs are not either.
    if there == here or "revision" not in provenance:
        return ()
    loading = provenance.get("loading")
    given = loading.items() if isinstance(loading, dict) else ()
    said = "; ".join(f"loading.{key} = {to_json(value)}" for key, value in given)
    how = f"set {said}" if said else "set loading.lora and loading.quantize as there" if there else "unset them"
    return (
        f"it was read from weights made into {there or 'nothing else'}, and this workspace's model has "
        f"{here or 'its own'}: {how} to use it on what it was made for",
    )


def _free_name(ctx: Context, key: str, usual: str, asked: str | None) -> tuple[str, models.DictionaryRow | None]:
    """Return the name that a dictionary gets, and its row, detached, where it is stored already.

    Raises:
        UsageError: The user's name is taken, or the dictionary is stored under another one.
    """
    with ctx.db.session() as session:
        row = queries.dictionaries.by_identity(session, key)
        free = queries.dictionaries.free_name(session, asked or usual)
        if row is not None:
            session.expunge(row)
    if asked not in (None, free):
        raise UsageError(f"there is a dictionary {asked!r} already", "give another --name, or `rm` it first")
    if row is not None and asked is not None:
        raise UsageError(f"this dictionary is there already, as {row.name}", "use it, or `rm` it first")
    return (free if row is None else row.name), row


def _reason_against_rows(ctx: Context, carried: CarriedDictionary, request: ImportRequest) -> str | None:
    """Return why the rows of a bundle would be wrong in this workspace, as the rest of a sentence; None if they fit."""
    # The setting is compared first, so that a bundle can be looked at where its model is not installed.
    if carried.model not in (ctx.workspace.settings.model, ctx.settings.model) and (
        carried.model != ctx.description.name
    ):
        return f"of the model {carried.model}"
    asked = request.layer
    if asked not in (None, carried.layer, carried.hookpoint) and ctx.layer(asked).name != carried.layer:
        return f"of layer {carried.layer}"
    if request.signal not in (None, carried.signal):
        return f"of the signal {carried.signal}"
    if request.stream not in (None, carried.stream):
        return f"of the stream {carried.stream}"
    return None
