"""Label, score and search what the inside of a text-to-image diffusion model represents.

from autointerp import LabeledDictionary, Workspace, load_dictionary
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autointerp.api import LabeledDictionary, Workspace, load_dictionary

__all__ = ["LabeledDictionary", "Workspace", "load_dictionary"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import autointerp` itself stays light."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from autointerp import api

    return getattr(api, name)
