"""What the server and its worker processes say to each other: values of JSON with files behind them, through pipes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Message:
    """A value of JSON, and files by name, such as pictures."""

    value: dict[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


def write_message(stream: IO[bytes], message: Message) -> None:
    """Write a message and flush.

    Raises:
        OSError: The other end is gone.
        ValueError: A number of the value is not finite.
    """
    sizes = {name: len(data) for name, data in message.files.items()}
    head = json.dumps({"value": message.value, "sizes": sizes}, allow_nan=False).encode()
    stream.write(b"".join([_LENGTH.pack(len(head)), head, *message.files.values()]))
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """Read the next message; None where the other end is gone, in the middle of a message too."""
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (wanted,) = _LENGTH.unpack(length)
    head = stream.read(wanted)
    if len(head) < wanted:
        return None
    said = json.loads(head)
    files = {}
    for name, size in said["sizes"].items():
        files[name] = stream.read(size)
        if len(files[name]) < size:
            return None
    return Message(said["value"], files)
