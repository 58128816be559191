"""Asking VLMs: servers and local models, messages, replies, limits and prices; and the registry of the kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autointerp.registry import Kind, Registry

if TYPE_CHECKING:
    from autointerp.labeling.vlms import VlmKind

VLMS: Registry[Kind[VlmKind]] = Registry(
    "VLM",
    [
        Kind("shapes-vlm", "the VLM of the shapes world, shipped", "autointerp.shapes.vlm:SHAPES_VLM"),
        Kind("local-vlm", "a VLM on this machine", "autointerp.labeling.vlms:LOCAL_VLM"),
        Kind("vlm", "a VLM at a server", "autointerp.labeling.vlms:REMOTE_VLM"),
    ],
)
"""VLMs that are asked as a chat is; each is a labeler and a judge, see `VlmKind`."""
