"""What a model's tokens cost, from a file that anyone can edit. An unknown price is unknown, never zero."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from autointerp.errors import AutointerpError

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest|preview)$")


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Dollars of one call."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


def price_file() -> Path:
    """Where the shipped price file lies."""
    return Path(str(files("autointerp").joinpath("prompts", "prices.json")))


def load_price(model: str, path: Path | None = None) -> Price | None:
    """The price of a model, or None where the file does not list it.

    A vendor's prefix (`openai/`) and a dated suffix (`-2024-07-18`) are ignored where the full name is not listed.

    Raises:
        AutointerpError: the price file cannot be read.
    """
    path = path or price_file()
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["models"]
        bare = model.rsplit("/", 1)[-1]
        for name in (model, bare, _DATED.sub("", bare)):
            if name in listed:
                return Price(float(listed[name]["input"]), float(listed[name]["output"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AutointerpError(f"the price file {path} cannot be read: {error}", "correct or remove it") from error
    return None
