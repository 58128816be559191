"""The commands on a tiny FLUX."""

from __future__ import annotations

from tests.pretend_gpu.commands import Commands

MODEL = "flux"


class TestFlux(Commands):
    """See `Commands`."""
