"""The labelers: a registry, each row loaded when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autointerp.labeling.asking import VLMS
from autointerp.registry import Kind, Registry

if TYPE_CHECKING:
    from autointerp.labeling.setup import LabelerKind

_HERE = "autointerp.labeling.labelers"

LABELERS: Registry[Kind[LabelerKind]] = Registry(
    "labeler",
    [
        *VLMS.values(),
        Kind("clip", "phrases in the space of an image-text embedder", f"{_HERE}.clip:ClipLabeler"),
        Kind("prompts", "phrases of the prompts, without any model", f"{_HERE}.prompts:PromptsLabeler"),
        Kind("words", "words that the model attends to where a feature fires", f"{_HERE}.words:WordsLabeler"),
        Kind(
            "grounded", "segments of the prompts' phrases that a feature overlaps", f"{_HERE}.grounded:GroundedLabeler"
        ),
        Kind("human", "a person", f"{_HERE}.given:GivenLabeler"),
    ],
)
"""The labelers that a command can name: each makes itself, see `LabelerKind`."""

AUTOMATIC = LABELERS.where(lambda kind: kind.name != "human")
"""The labelers that need no person."""
