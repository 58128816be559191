"""The seam `BatchQueue`: requests that are put aside, to be sent together in a batch."""

from __future__ import annotations

from typing import Any, Protocol

from autointerp.labeling.asking.limits import Reservation


class BatchQueue(Protocol):
    """Collects requests for a batch, each by the hash that identifies it."""

    def failed(self, request_hash: str) -> str:
        """Return why a request failed in an earlier batch; empty where it did not."""
        ...

    def has(self, request_hash: str) -> bool:
        """Return whether a request is put aside."""
        ...

    def put(self, request_hash: str, purpose: str, payload: dict[str, Any], held: Reservation) -> None:
        """Put a request aside, with the reservation for its price."""
        ...
