"""Hookpoints in the names of folders, where tools put them that have no field for it."""

from __future__ import annotations

import re

from autointerp.dictionaries.formats.source import Source

_NAMED = re.compile(r"^((?:unet|transformer)\.[A-Za-z0-9_.]*?[A-Za-z0-9])(?:_k\d+.*)?$")


def hookpoint_in(source: Source) -> str | None:
    """The hookpoint that a folder of the path is named for, e.g. `unet.mid_block.attentions.0_k10_hidden5120`."""
    for part in source.parts:
        if found := _NAMED.match(part):
            return found[1]
    return None
