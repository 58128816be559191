"""Requests to remote models: sent one by one, or in batches where the command asks for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from autointerp.db.models import DictionaryRow
from autointerp.db.queries.batches import BatchKind
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.labelers import LabelerRequest
from autointerp.stages.label.batches import Batches, check_not_under_way

if TYPE_CHECKING:
    from autointerp.labeling.asking.chat import ChatClient
    from autointerp.labeling.asking.protocol import Asker


def remote_client(asker: Asker | None) -> ChatClient | None:
    """Return the asker if it asks a server: only requests to servers have batches and prices."""
    from autointerp.labeling.asking.chat import ChatClient

    return asker if isinstance(asker, ChatClient) else None


def load_own_model(asker: Asker | None) -> None:
    """Load a model that a person names on this machine, so that nothing is made for one that cannot be loaded.

    Raises:
        AutointerpError: It cannot be loaded.
    """
    from autointerp.labeling.asking.deferred import DeferredVlm
    from autointerp.labeling.asking.local import LocalChat

    if isinstance(asker, LocalChat) and asker.kind == "local-vlm" and isinstance(asker.vlm, DeferredVlm):
        _ = asker.vlm.loaded


class RequestSender:
    """How a command sends its requests.

    Args:
        ctx: The command's view of the workspace.
        request: Says whether the requests go in batches.
        asker: The model that is asked; None where there is none.

    Raises:
        UsageError: Batches are asked for, and no remote model is asked.
        AutointerpError: Batches are not asked for, and a batch of requests to this model is under way.
    """

    def __init__(self, ctx: Context, request: LabelerRequest, asker: Asker | None) -> None:
        self._ctx = ctx
        self._client = remote_client(asker)
        self._in_batches = request.batch
        # All work of a command shares its batches: once a batch has ended early, no more are sent.
        self._batches: Batches | None = None
        if self._client is None:
            if request.batch:
                raise UsageError("--batch is for remote models", "name one with --vlm MODEL (and --labeler vlm)")
        elif not request.batch:
            check_not_under_way(ctx.db, self._client)

    def run(self, dictionary: DictionaryRow, kind: BatchKind, work: Callable[[], object]) -> None:
        """Do work that sends requests: once, or with batches until every request has its answer.

        Args:
            dictionary: The dictionary whose features the requests are about.
            kind: The command, as the rows of its batches are marked.
            work: Does everything that is missing; it may be called again.
        """
        if self._client is None or not self._in_batches:
            work()
            return
        if self._batches is None:
            self._batches = Batches(self._ctx, dictionary, self._client, kind)
        self._batches.until_known(work)
