"""What a model's tokens cost, from files that anyone can edit. An unknown price is unknown, never zero."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from autointerp.errors import AutointerpError

PRICES = "prices.json"
"""A workspace's own file of this name comes before the shipped one."""
BATCH_SHARE = 0.5
"""What a request costs in a batch, as a share of its price."""
PICTURE_TOKENS = 1000
"""Tokens of a picture, where the price file does not say."""

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest|preview)$")


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, and the tokens that a picture of up to 512 px counts as."""

    input: float
    output: float
    picture: int = PICTURE_TOKENS

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Dollars of one call."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


def price_file() -> Path:
    """Where the shipped price file lies."""
    return Path(str(files("autointerp").joinpath("prompts", PRICES)))


def load_price(model: str, own: Path | None = None) -> Price | None:
    """The price of a model, from a file of one's own where that exists and lists it, else from the shipped one.

    None where neither does. A vendor's prefix (`openai/`) and a dated suffix (`-2024-07-18`) are ignored where the full
    name is not listed.

    Raises:
        AutointerpError: a price file cannot be read.
    """
    bare = model.rsplit("/", 1)[-1]
    for path in (own, price_file()):
        if path is None or (path is own and not path.exists()):
            continue
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))["models"]
            for name in (model, bare, _DATED.sub("", bare)):
                if name in listed:
                    found = listed[name]
                    picture = int(found.get("picture", PICTURE_TOKENS))
                    return Price(float(found["input"]), float(found["output"]), picture)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise AutointerpError(f"the price file {path} cannot be read: {error}", "correct or remove it") from error
    return None
