"""What a child of a test does first: a worker of Ray's makes the pretend device known, as a driver would be there."""

from __future__ import annotations

import sys

if any(argument.endswith("default_worker.py") for argument in sys.orig_argv):
    import tests.pretend_gpu.device  # noqa: F401
