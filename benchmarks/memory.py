"""What the weights of full-size models take: counted on the meta device, where no memory is taken.

Only weights are counted. What a batch of images needs while it is computed comes on top; it depends on the size, the
batch and the attention kernel, and is not computed here. Nor are the library's own context on a GPU and the memory
that its allocator keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.full_size import MODELS

NF4_BLOCK = 64
"""Weights that share a scale in float32, in bitsandbytes without double quantization."""
GB = 1e9


@dataclass(frozen=True)
class Part:
    """A component: all its parameters, those that are weights of linear layers, and how many rows these have."""

    model: str
    component: str
    parameters: int
    linear: int
    rows: int

    @classmethod
    def of(cls, model: str, component: str, module: Any) -> Part:
        """Count a component on any device."""
        import torch

        weights = {id(m.weight): m.weight for m in module.modules() if isinstance(m, torch.nn.Linear)}
        shapes = [tuple(weight.shape) for weight in weights.values()]
        return cls(
            model,
            component,
            sum(p.numel() for p in module.parameters()),
            sum(rows * columns for rows, columns in shapes),
            sum(rows for rows, _ in shapes),
        )

    def bytes(self, dtype: str) -> float:
        """What its weights take; int8 and nf4 are of its linear layers, with their scales, and the rest is bfloat16.

        Raises:
            KeyError: It is none of fp32, bf16, int8 and nf4.
        """
        rest = 2 * (self.parameters - self.linear)
        return {
            "fp32": 4 * self.parameters,
            "bf16": 2 * self.parameters,
            "int8": rest + self.linear + 4 * self.rows,
            "nf4": rest + self.linear * (0.5 + 4 / NF4_BLOCK),
        }[dtype]


@dataclass(frozen=True)
class Peak:
    """The most that a model's weights take on a GPU at a time, in bytes, under settings of `[loading]`."""

    model: str
    quantize: str
    none: float
    offload: float
    largest: str


def parts_of(names: Sequence[str] = tuple(MODELS)) -> Iterator[Part]:
    """Every component of full-size models that has weights, the denoiser of each first."""
    for name in names:
        for component, module in MODELS[name].components():
            yield Part.of(name, component, module)


def peaks_of(parts: Sequence[Part]) -> Iterator[Peak]:
    """The peaks of each model: without offload all components are there, with it the largest alone."""
    for model in dict.fromkeys(part.model for part in parts):
        mine = [part for part in parts if part.model == model]
        for quantize in ("none", "int8", "nf4"):
            taken = {p.component: p.bytes("bf16") for p in mine}
            if quantize != "none":
                taken[mine[0].component] = mine[0].bytes(quantize)
            largest = max(taken, key=lambda component: taken[component])
            yield Peak(model, quantize, sum(taken.values()), taken[largest], largest)


def tables(parts: Sequence[Part]) -> str:
    """Two Markdown tables, ready for docs/models.md: components, and peaks."""
    lines = ["| model | component | parameters | fp32 | bf16, fp16 | int8 | nf4 |", "|---|---|---|---|---|---|---|"]
    for part in parts:
        denoises = part.component in ("transformer", "unet")
        sizes = [part.bytes(dtype) for dtype in ("fp32", "bf16", *(["int8", "nf4"] if denoises else []))]
        cells = [f"{size / GB:.2f} GB" for size in sizes] + ["-"] * (4 - len(sizes))
        lines.append(f"| {part.model} | {part.component} | {part.parameters / 1e6:,.1f} M | {' | '.join(cells)} |")
    lines += ["", "| model | quantize | all on the GPU | offload = model | which is |", "|---|---|---|---|---|"]
    for peak in peaks_of(parts):
        taken = f"{peak.none / GB:.1f} GB | {peak.offload / GB:.1f} GB"
        lines.append(f"| {peak.model} | {peak.quantize} | {taken} | {peak.largest} |")
    return "\n".join(lines)
