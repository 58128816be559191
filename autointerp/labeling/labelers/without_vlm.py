"""What labelers share that ask no VLM."""

from __future__ import annotations


class WithoutVlm:
    """The part of a `Labeler` that is about a VLM, for one that asks none: no server, no prompt files, no early end."""

    base_url = ""
    prompt_hash = ""
    cells = 0
    streams = False
    asker = None
    stopped = ""
