"""The task `read`: a picture of a prompt, or one that was dropped, with what is active in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autointerp.views.picture_reading import read_picture_file, read_prompt_picture
from autointerp.web.workers.painting import calls_for, encoded, followed
from autointerp.web.workers.tasks import Workbench
from autointerp.web.workers.wire import Message


def read(bench: Workbench, request: Mapping[str, Any]) -> Message:
    """Generate or read the picture of a request: its `prompt`, or the file `picture`, and its `seed`.

    Raises:
        UsageError: The prompt is empty.
        AutointerpError: The picture cannot be read, or there is no dictionary of image tokens.
    """
    ctx = bench.reading
    with followed(bench, calls_for(ctx, 1), "reading"):
        if request["picture"]:
            found = read_picture_file(ctx, Path(request["picture"]), request["seed"])
        else:
            found = read_prompt_picture(ctx, request["prompt"], request["seed"])
    # As a file, so that the server hands on what it need not look into.
    text = json.dumps(found.as_dict(), allow_nan=False, separators=(",", ":"))
    return Message({}, {"picture.webp": encoded(found.picture), "reading.json": text.encode()})
