"""The library's face: a workspace to ask, and dictionaries that carry their labels.

    from autointerp import LabeledDictionary, Workspace, load_dictionary

The command line says the same things in words; both use the same views.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.project.workspace import WorkspaceFolder

if TYPE_CHECKING:
    from autointerp.dictionaries.storage import load_dictionary
    from autointerp.export.labeled import LabeledDictionary
    from autointerp.views.explained import ExplainedPicture
    from autointerp.views.search.hits import Hit
    from autointerp.views.stored_feature import StoredFeature

__all__ = ["LabeledDictionary", "Workspace", "load_dictionary"]

_HEAVY = {"LabeledDictionary": "autointerp.export.labeled", "load_dictionary": "autointerp.dictionaries.storage"}
"""Public names whose modules load torch, so that they are loaded when they are first used."""


def __getattr__(name: str) -> Any:
    """Load a public name that needs torch."""
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HEAVY[name]), name)


class Workspace(WorkspaceFolder):
    """An existing workspace, and what can be asked of it.

    Examples::

        workspace = Workspace("autointerp-workspace")
        for hit in workspace.search("red striped circle"):
            print(hit.feature, hit.name, hit.score)

    Raises:
        AutointerpError: There is no workspace, or its settings are wrong.
    """

    def search(self, text: str, layer: str | None = None, count: int = 10) -> list[Hit]:
        """Return the features that fit a text best, best first; see `autointerp search`."""
        from autointerp.project.context import Context
        from autointerp.stages.index.opening import fresh_indexes
        from autointerp.views.search.scope import SearchFilters
        from autointerp.views.search.searcher import Searcher

        ctx = Context(self)
        return Searcher(ctx, fresh_indexes(ctx)).find(text, SearchFilters(layer=layer), count=count)

    def feature(self, name: str) -> StoredFeature:
        """Return the feature `DICTIONARY:INDEX` with its label, scores and crops.

        Raises:
            UsageError: There is no such feature.
        """
        from autointerp.project.context import Context
        from autointerp.views.stored_feature import StoredFeature

        return StoredFeature(Context(self), name)

    def explain(self, source: str | Path, layer: str | None = None, count: int = 10) -> ExplainedPicture:
        """Find the labeled features that are active in a picture, of a prompt or a file; see `autointerp explain`."""
        from autointerp.project.context import Context
        from autointerp.project.targets import resolve_target
        from autointerp.views.explain import ExplainRequest, explain

        ctx = Context(self)
        targets = () if layer is None else (resolve_target(ctx, layer),)
        return explain(ctx, ExplainRequest(str(source), targets, count))

    def status(self) -> dict[str, Any]:
        """Return what the workspace holds, with the keys of `autointerp status --json`."""
        from autointerp.project.context import Context
        from autointerp.views.status import read_status

        return read_status(Context(self)).as_dict()
