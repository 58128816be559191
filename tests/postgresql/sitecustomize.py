"""What a child of a test does first: see `workspaces`."""

from __future__ import annotations

import os

import workspaces  # type: ignore[import-not-found]

if workspaces.SERVER in os.environ:
    workspaces.take_over()
