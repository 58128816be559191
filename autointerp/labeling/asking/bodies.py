"""The body of a response as JSON: one document, or the events of a server that streams unasked."""

from __future__ import annotations

import json
from typing import Any

from autointerp.labeling.asking.answers import NoCompletion


def parse_body(data: bytes) -> Any:
    """Return the parsed JSON of a response's body. A stream of events is put together to one completion.

    Raises:
        NoCompletion: The body is no JSON.
    """
    text = data.decode("utf-8-sig", "replace").strip()
    try:
        # Not strict: models write line breaks inside strings, and some servers pass them on.
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        events = _events(text)
        if not events:
            raise NoCompletion(text) from None
        return _completion(events)


def _events(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects of a stream of server-sent events; empty where the text is no such stream."""
    events = []
    for line in text.splitlines():
        if line.startswith("data:"):
            try:
                value = json.loads(line.removeprefix("data:"), strict=False)
            except (ValueError, RecursionError):
                continue
            events += [value] if isinstance(value, dict) else []
    return events


def _completion(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the completion that the pieces of a stream make."""
    message: dict[str, Any] = {"content": []}
    choice: dict[str, Any] = {"message": message}
    whole: dict[str, Any] = {"choices": [choice]}
    for event in events:
        whole |= {key: value for key, value in event.items() if key in ("usage", "error") and value}
        choices = event.get("choices")
        for piece in choices[:1] if isinstance(choices, list) else []:
            if isinstance(piece, dict):
                choice["finish_reason"] = piece.get("finish_reason") or choice.get("finish_reason")
                _add(message, piece.get("delta") or piece.get("message"))
    return whole if message != {"content": []} or whole.keys() - {"choices"} else {}


def _add(message: dict[str, Any], delta: Any) -> None:
    """Add the texts of one piece to the message so far."""
    if not isinstance(delta, dict):
        return
    for name, value in delta.items():
        if name == "content" and value:
            message["content"] += value if isinstance(value, list) else [value]
        elif isinstance(value, str) and name != "role":
            message[name] = message.get(name, "") + value
