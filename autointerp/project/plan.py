"""The plan of a command: `--dry-run` shows it, and without that option it is carried out, so the two cannot differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One stage's share of a command.

    `units` is the number of images, features or labels that its progress counts, and `part` the name of its part of a
    schedule, which is the stage if empty. `images` is the number of images to generate. `calls`, `pictures` and
    `tokens` count the requests to a remote model, and `cost` is their price in dollars (None: unknown); of a `bound`
    they are the most that there can be. `needed` is False where the result exists.
    """

    stage: str
    target: str
    needed: bool
    detail: str = ""
    images: int = 0
    calls: int = 0
    pictures: int = 0
    tokens: int = 0
    cost: float | None = 0.0
    units: int = 0
    part: str = ""
    bound: bool = False

    @property
    def text(self) -> str:
        """The step in one line."""
        if not self.needed:
            return f"{self.stage:8} {self.target}: {f'{self.part} ' if self.part else ''}up to date"
        parts = [self.detail] if self.detail else []
        parts += [f"{self.images} images"] if self.images else []
        if self.calls:
            price = "price unknown" if self.cost is None else f"${self.cost:.2f}"
            most = "at most " if self.bound else ""
            parts += [f"{most}{self.calls} calls, {self.pictures} pictures, about {self.tokens} tokens, {price}"]
        return f"{self.stage:8} {self.target}: {', '.join(parts) or 'would run'}"


@dataclass(frozen=True)
class Plan:
    """The steps of a command, in order."""

    steps: tuple[Step, ...]

    @property
    def nothing_to_do(self) -> bool:
        """Whether every result exists."""
        return not any(step.needed for step in self.steps)

    @property
    def text(self) -> str:
        """The steps, one a line."""
        return "\n".join(step.text for step in self.steps)
