"""Label, score and search what the inside of a text-to-image diffusion model represents.

from autointerp import LabeledDictionary, Workspace, load_dictionary
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autointerp.dictionaries.storage import load_dictionary
    from autointerp.export.labeled import LabeledDictionary
    from autointerp.workspace import Workspace

__all__ = ["LabeledDictionary", "Workspace", "load_dictionary"]

_WHERE = {
    "LabeledDictionary": "autointerp.export.labeled",
    "Workspace": "autointerp.workspace",
    "load_dictionary": "autointerp.dictionaries.storage",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: `import autointerp` itself stays light."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
