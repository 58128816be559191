"""Where a dictionary comes from, as an export says it: JSON values, enough to make the dictionary again."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.errors import AutointerpError
from autointerp.project.settings import HERE_ALONE
from autointerp.version import VERSION

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.project.context import Context

_PACKAGES = ("diffusers", "huggingface_hub", "numpy", "safetensors", "torch", "transformers")


def provenance_of(ctx: Context, row: DictionaryRow, labelers: Collection[int] | None = None) -> dict[str, Any]:
    """Return the provenance of a dictionary, as `provenance.json` holds it.

    Args:
        ctx: The workspace.
        row: The stored dictionary.
        labelers: Ids of the labelers to list; None lists all that have labeled the dictionary.
    """
    return {
        "name": row.name,
        "identity": row.identity,
        "kind": row.kind,
        "model": row.model,
        "revision": row.revision,
        "layer": row.layer,
        "hookpoint": row.hookpoint,
        "signal": row.signal,
        "stream": row.stream,
        "steps": row.steps,
        "grid": [row.grid_rows, row.grid_cols],
        "seed": row.seed,
        "images": row.images,
        "fvu": row.fvu,
        "l0": row.l0,
        "figures": row.figures,
        "weights_sha256": row.weights_sha256,
        "made_of": row.config.get("fit", {}),
        "loading": _loading(ctx, row),
        "assumed": list(row.assumed),
        **_harvest(ctx, row),
        "labelers": _labelers(ctx, row, labelers),
        "settings": _settings(ctx),
        "versions": _versions(),
    }


def _loading(ctx: Context, row: DictionaryRow) -> dict[str, Any]:
    """Return the loading settings that made the model's weights what they are; of a LoRA's file its name alone.

    They are empty for weights as they are published, and where the settings mean other weights by now.
    """
    if "+" not in (row.revision or ""):
        return {}
    try:
        is_meant = ctx.description.revision == row.revision
    except AutointerpError:
        return {}
    return ctx.settings.loading.of_weights() if is_meant else {}


def _harvest(ctx: Context, row: DictionaryRow) -> dict[str, Any]:
    """Return the last finished harvest and its prompts; empty before the first."""
    with ctx.db.session() as session:
        run = queries.runs.last_harvest(session, row.id)
        if run is None:
            return {}
        harvest = {"identity": run.identity, **run.config}
        kept = queries.images.count_prompts(session, row.id)
    source = _shared_name(ctx.settings.prompts)
    return {
        "harvest": harvest,
        "prompts": {"sha256": harvest.get("prompts"), "source": source, "of_kept_images": kept},
    }


def _shared_name(prompts: str) -> str:
    """Return the source of prompts; of a file its name alone, because the folders above it are private."""
    return Path(prompts).name if "/" in prompts and not prompts.startswith("datasets:") else prompts


def _labelers(ctx: Context, row: DictionaryRow, labelers: Collection[int] | None) -> list[dict[str, str]]:
    """Return the labelers of a dictionary, each with the hashes of its prompts and of its settings."""
    with ctx.db.session() as session:
        return [
            {
                "kind": labeler.kind,
                "model": labeler.model,
                "prompt_hash": labeler.prompt_hash,
                "config_hash": labeler.config_hash,
            }
            for labeler in queries.labelers.of_dictionary(session, row.id)
            if labelers is None or labeler.id in labelers
        ]


def _settings(ctx: Context) -> dict[str, Any]:
    """Return the settings that an import gives to a workspace that it makes.

    The setting of a local file of prompts is left out, because the file is not exported. A workspace of real pictures
    gives no settings, because they would name pictures that are not exported.
    """
    if ctx.settings.images_dir is not None:
        return {}
    given = json.loads(ctx.workspace.settings.model_dump_json(exclude=set(HERE_ALONE), exclude_none=True))
    if _shared_name(given["prompts"]) != given["prompts"]:
        del given["prompts"]
    return dict(given)


def _versions() -> dict[str, str]:
    """Return the versions of autointerp, Python, and the libraries that are installed."""
    found = {"autointerp": VERSION, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
