"""Prices of models, from files that anyone can edit. A price that no file lists is unknown, never zero."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from autointerp.errors import AutointerpError

PRICES = "prices.json"
"""Name of the price file; a workspace's own comes before the shipped one."""
BATCH_SHARE = 0.5
"""Cost of a request in a batch, as a share of its price."""
PICTURE_TOKENS = 1000
"""Tokens of a picture where the price file does not list them."""

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest|preview)$")


@dataclass(frozen=True)
class Price:
    """US dollars per million input and output tokens, and the tokens of a picture of up to 512 px."""

    input: float
    output: float
    picture: int = PICTURE_TOKENS

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Return the US dollars of one call."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


def price_file() -> Path:
    """Return the path of the shipped price file."""
    return Path(str(files("autointerp").joinpath("prompts", PRICES)))


def load_price(model: str, own: Path | None = None) -> Price | None:
    """Return the price of a model: from `own` where that file lists it, else from the shipped file; None without one.

    Where the full name is not listed, a vendor's prefix (`openai/`) and a dated suffix (`-2024-07-18`) are ignored.

    Raises:
        AutointerpError: A price file cannot be read.
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
