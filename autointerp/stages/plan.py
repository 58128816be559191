"""What a command would do: shown by `--dry-run`, and done otherwise, so that the two cannot differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One stage's share of a command.

    `images` is what it would generate; `calls`, `pictures` and `tokens` are what it would ask of a model, and `cost` is
    their price in dollars (None: unknown). `needed` is False where the result is there already.
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

    @property
    def text(self) -> str:
        """The step in one line."""
        if not self.needed:
            return f"{self.stage:8} {self.target}: up to date"
        parts = [self.detail] if self.detail else []
        parts += [f"{self.images} images"] if self.images else []
        if self.calls:
            price = "price unknown" if self.cost is None else f"${self.cost:.2f}"
            parts += [f"{self.calls} calls, {self.pictures} pictures, about {self.tokens} tokens, {price}"]
        return f"{self.stage:8} {self.target}: {', '.join(parts) or 'would run'}"


@dataclass(frozen=True)
class Plan:
    """The steps of a command, in order."""

    steps: tuple[Step, ...]

    @property
    def nothing_to_do(self) -> bool:
        """Whether every result is there."""
        return not any(step.needed for step in self.steps)

    @property
    def text(self) -> str:
        """One line a step."""
        return "\n".join(step.text for step in self.steps)
