"""Names of a command resolved: `--layer` and `--dictionary` to a `Target`, `DICTIONARY:INDEX` to a stored feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Feature
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context


@dataclass(frozen=True)
class Target:
    """A layer as it was given, alias or hookpoint, and the dictionary that is named for it, if one is.

    Without a dictionary, a command that makes things means the newest one that the settings still lead to, or one
    that is to be fitted (`stages.fit`). A command that only reads means the newest (`find_dictionary`).
    """

    layer: str
    dictionary: str | None = None


def resolve_target(ctx: Context, layer: str, dictionary: str | None = None) -> Target:
    """Return what a layer and an optional dictionary name; the settings may name a layer's dictionary."""
    return Target(layer, dictionary or ctx.settings.dictionary.names.get(layer))


def resolve_targets(ctx: Context, layers: Sequence[str], dictionaries: Sequence[str] = ()) -> list[Target]:
    """Return a target for each named dictionary, at its own layer; without names, one for each layer.

    Raises:
        UsageError: A dictionary does not exist, or belongs to none of the layers.
    """
    if not dictionaries:
        return [resolve_target(ctx, layer) for layer in dict.fromkeys(layers)]
    given = {ctx.layer(layer).name: layer for layer in layers}
    rows = [ctx.dictionary_named(name) for name in dict.fromkeys(dictionaries)]
    for row in rows:
        if row.layer not in given:
            raise UsageError(f"{row.name} belongs to layer {row.layer}, not {', '.join(layers)}", "name that layer")
    return [Target(given[row.layer], row.name) for row in rows]


def find_dictionary(ctx: Context, target: Target, by: str = "label") -> DictionaryRow:
    """Return the stored dictionary that a target means, detached.

    Args:
        ctx: The workspace's context.
        target: The layer, and the dictionary's name if one is given.
        by: The command that is advised where there is none: `label`, or `fit` where no label is needed.

    Raises:
        UsageError: There is no dictionary of the given name.
        AutointerpError: The layer has no dictionary yet.
    """
    if target.dictionary is not None:
        return ctx.dictionary_named(target.dictionary)
    row = ctx.dictionary_of(target.layer)
    if row is None:
        raise AutointerpError(
            f"layer {target.layer} has no dictionary here", f"run `autointerp {by} --layer {target.layer}` first"
        )
    return row


def find_feature(ctx: Context, name: str) -> tuple[DictionaryRow, Feature]:
    """Return the stored feature that is written `DICTIONARY:INDEX`, with its dictionary, both detached.

    Raises:
        UsageError: The name is not written so, or there is no such feature.
    """
    dictionary_name, colon, index = name.rpartition(":")
    if not colon or not index.isdecimal() or len(index) > 9:
        raise UsageError(f"{name!r} is no feature", "write DICTIONARY:INDEX, e.g. shapes-turbo.mid.topk:17")
    row = ctx.dictionary_named(dictionary_name)
    with ctx.db.session() as session:
        feature = queries.features.by_index(session, row.name, int(index))
        if feature is None:
            hint = (
                f"features go from 0 to {row.num_latents - 1}"
                if int(index) >= row.num_latents
                else f"run `autointerp harvest --layer {row.layer}` first"
            )
            raise UsageError(f"{row.name} has no feature {index}", hint)
        session.expunge(feature)
    return row, feature
