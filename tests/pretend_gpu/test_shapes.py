"""The commands on shapes."""

from __future__ import annotations

from tests.pretend_gpu.commands import Commands

MODEL = "shapes"


class TestShapes(Commands):
    """See `Commands`."""
