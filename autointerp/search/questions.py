"""Vectors of questions that were asked before, so that asking again loads no model.

A line of the file is the key of a question and its vector. The key is a hash of the embedder's name, which holds its
weights, and of the text; the text itself is not kept. The file can be deleted at any time, and a line that cannot be
read is passed over.
"""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError
from autointerp.files import whole_file

if TYPE_CHECKING:
    import numpy as np

QUESTIONS = "questions.txt"
"""The file's name in a workspace's folder of indexes."""
LIMIT = 256
"""Questions that are kept: the newest. The file grows to twice as many lines before it is cut."""
_LENGTH_ERROR = 1e-3
"""How far from 1 the length of a stored vector may be."""


class QuestionVectors:
    """Vectors of texts by embedder, kept in a file where it can be written, else in memory alone.

    Args:
        path: The file; None for memory alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lines: dict[str, str] | None = None

    def get(self, embedder: str, text: str) -> np.ndarray | None:
        """Return the unit vector of a text, float32 [dim]; None where it was not asked before."""
        line = self._read().get(_key(embedder, text))
        return None if line is None else _vector(line)

    def put(self, embedder: str, text: str, vector: np.ndarray) -> None:
        """Keep the unit vector of a text, float32 [dim]. A file that cannot be written is left as it is."""
        lines, key = self._read(), _key(embedder, text)
        lines.pop(key, None)
        lines[key] = base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
        for old in list(lines)[:-LIMIT]:
            del lines[old]
        if self.path is None:
            return
        with suppress(OSError, AutointerpError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One write at the end, so that processes that ask at the same time lose nothing of each other.
            with self.path.open("a", encoding="ascii") as file:
                file.write(f"{key} {lines[key]}\n")
            self._cut()

    def _cut(self) -> None:
        """Keep the newest lines of a file that has become too long."""
        assert self.path is not None
        lines = self.path.read_text(encoding="ascii", errors="replace").splitlines(keepends=True)
        if len(lines) > 2 * LIMIT:
            with whole_file(self.path, durable=False) as partial:
                partial.write_text("".join(lines[-LIMIT:]), encoding="ascii", errors="replace")

    def _read(self) -> dict[str, str]:
        """Read key -> vector in base64, oldest first; once."""
        if self._lines is None:
            text = ""
            if self.path is not None:
                with suppress(OSError):
                    text = self.path.read_text(encoding="ascii", errors="replace")
            parts = (line.split() for line in text.splitlines())
            self._lines = {pair[0]: pair[1] for pair in parts if len(pair) == 2}
        return self._lines


def _key(embedder: str, text: str) -> str:
    """Return the hash of an embedder's name and a text; a text of half a surrogate pair has one too."""
    return hashlib.sha256(f"{embedder}\0{text}".encode(errors="surrogatepass")).hexdigest()


def _vector(line: str) -> np.ndarray | None:
    """Read a vector, float32 [dim]; None where the line holds no unit vector."""
    import numpy as np

    try:
        vector = np.frombuffer(base64.b64decode(line, validate=True), "<f4").astype(np.float32)
    except ValueError:
        return None
    return vector if abs(float(np.linalg.norm(vector)) - 1) < _LENGTH_ERROR else None
