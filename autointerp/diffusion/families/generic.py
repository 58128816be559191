"""Any other pipeline: what a class, its configuration and a dry run show, for hookpoints that the user names.

Nothing is guessed. Hookpoints are read off the class. How guidance is asked for, which call or half of a batch is the
conditional one, and which tensors hold image tokens are seen in a dry run (see `diffusion.dry_run`). Where that is not
certain, the pipeline or the hookpoint is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import CallSizes, Configs, Family, NoDenoisingError, PipelineCall
from autointerp.diffusion.families.classes import BY_HOOKPOINT
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.denoiser_tree import blocks_of
from autointerp.diffusion.families.sizes import autoencoder_pixels, native_size
from autointerp.diffusion.families.states import as_tokens, same_shape, states_like, with_first_states
from autointerp.diffusion.families.unet_sites import UNetSite, unet_sites
from autointerp.errors import AutointerpError, UsageError

NOT_KNOWN = "its entry would have to be added, see docs/howto.md"
_WIDTHS = ("hidden_size", "inner_dim", "dim")
_LATENTS = ("hidden_states", "sample", "x")
_TIMESTEPS = ("timestep", "timesteps", "t")


@dataclass(frozen=True)
class Seen:
    """What a dry run showed of a pipeline at one guidance scale.

    Attributes:
        arguments: The pipeline's arguments that ask for the guidance; a list has one item an image.
        branches: Denoiser calls a step.
        conditional: Number of the conditional call among them.
        counts: For each of the two grids of the dry run, module -> number of tokens in each part of its output; None
            for a part that holds no tokens.
        changing: Modules that return another number of tokens at a later step.
    """

    arguments: Mapping[str, Any]
    branches: int
    conditional: int
    counts: tuple[Mapping[str, tuple[int | None, ...]], ...] = field(repr=False)
    changing: Set[str] = field(repr=False, default=frozenset())


class GenericFamily(Family):
    """A pipeline class without an entry: it has no aliases, and every module of its denoiser may be a hookpoint.

    Args:
        pipeline_class: As `model_index.json` names it.
        denoiser: The component that denoises, `transformer` or `unet`.

    Attributes:
        seen: What dry runs showed, by guidance scale.
        sign: The sign with which the scheduler is given the prediction; None where it is given another thing.
    """

    name = "generic"
    defaults = ModelDefaults(steps=20, guidance=4.5, size=1024, max_sequence_length=256, capture_steps=(0,))
    doubles = True
    open = True

    def __init__(self, pipeline_class: str, denoiser: str) -> None:
        self.pipeline_class = pipeline_class
        self.denoiser = denoiser
        self.components = (denoiser, "vae")
        self.needs = BY_HOOKPOINT[pipeline_class].needs if pipeline_class in BY_HOOKPOINT else ()
        self.seen: dict[float, Seen] = {}
        self.sign: int | None = None

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        if sites := self._sites(configs):
            return list(sites)
        return [f"{self.denoiser}.{block.path}" for block in blocks_of(configs[self.denoiser])]

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        return {}

    @override
    def width(self, configs: Configs, hookpoint: str) -> int:
        sizes = configs[self.denoiser]
        if sites := self._sites(configs):
            return _site_of(sites, hookpoint).width
        for block in blocks_of(sizes):
            if block.width and f"{hookpoint}.".startswith(f"{self.denoiser}.{block.path}."):
                return block.width
        for key in _WIDTHS:
            if type(sizes.get(key)) is int:
                return int(sizes[key])
        try:
            return int(sizes["num_attention_heads"] * sizes["attention_head_dim"])
        except (KeyError, TypeError):
            raise AutointerpError(
                f"the width of {hookpoint} is not known to {self.pipeline_class}", NOT_KNOWN
            ) from None

    @override
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        """Return the pixels of a latent times the side of a token in latents.

        Where a transformer takes four times the channels of the autoencoder, the pipeline packs 2x2 latents into a
        token, whatever the configuration calls its patches.
        """
        try:
            latent = autoencoder_pixels(configs)
        except (KeyError, TypeError):
            raise AutointerpError(
                f"the autoencoder of {self.pipeline_class} does not say its scale", NOT_KNOWN
            ) from None
        if sites := self._sites(configs):
            return latent * (2 ** _site_of(sites, hookpoint).level if hookpoint else 1)
        taken = configs[self.denoiser].get("in_channels")
        made = configs["vae"].get("latent_channels", configs["vae"].get("z_dim"))
        if type(taken) is int and type(made) is int and taken == 4 * made:
            return latent * 2
        patch = configs[self.denoiser].get("patch_size", 1)
        return latent * int(patch if isinstance(patch, int) else patch[-1])

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Return what the dry run showed at this guidance; see `diffusion.dry_run.look`."""
        seen = self.seen[guidance]
        arguments = {key: value * count if isinstance(value, list) else value for key, value in seen.arguments.items()}
        return PipelineCall(arguments, seen.branches, seen.conditional)

    @override
    def latents(self, inputs: Mapping[str, Any]) -> Any:
        return inputs[self._argument(inputs, _LATENTS, "latents")]

    @override
    def with_latents(self, inputs: Mapping[str, Any], latents: Any) -> dict[str, Any]:
        return {**inputs, self._argument(inputs, _LATENTS, "latents"): latents}

    @override
    def timestep(self, inputs: Mapping[str, Any]) -> Any:
        return inputs[self._argument(inputs, _TIMESTEPS, "timestep")]

    @override
    def timesteps(self, given: float) -> tuple[float, ...]:
        """Return the forms that diffusers has.

        They are the scheduler's timestep, a share of 1000, what is left of either, and Cosmos's: the share of noise in
        a sum of picture and noise, where the timestep is 1000 times the noise beside one picture.
        """
        beside = 1000 * given / (1 - given) if 0 <= given < 1 else math.inf
        return given, 1000 * given, 1000 * (1 - given), 1000 - given, beside

    @override
    def sizes(self, inputs: Mapping[str, Any]) -> CallSizes:
        latents = self.latents(inputs)
        return CallSizes(latents.shape[0], 0, latents.shape[1] if latents.ndim == 3 else 0)

    @override
    def prediction(self, output: Any, image_tokens: int = 0) -> Any:
        return self._known_sign() * output[0]

    @override
    def answer(self, prediction: Any) -> Any:
        return ((self.sign or 1) * prediction,)

    def _known_sign(self) -> int:
        """Return the sign of a prediction.

        Raises:
            NoDenoisingError: The scheduler is given another thing than the prediction.
        """
        if self.sign is None:
            raise NoDenoisingError(
                f"what {self.pipeline_class} makes of the prediction before a step is not known", NOT_KNOWN
            )
        return self.sign

    def _argument(self, inputs: Mapping[str, Any], names: tuple[str, ...], what: str) -> str:
        """Return which of some arguments a denoiser has.

        Raises:
            AutointerpError: None of them, or its value is no tensor.
        """
        name = next((name for name in names if hasattr(inputs.get(name), "ndim")), None)
        if name is None:
            raise AutointerpError(f"the denoiser of {self.pipeline_class} takes its {what} in no known form", NOT_KNOWN)
        return name

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        """List every tokenizer that a pipeline may have; each reads no more than its own limit either."""
        return tuple((f"tokenizer{number}", max_sequence_length) for number in ("", "_2", "_3"))

    def check_place(self, hookpoint: str, grids: tuple[int, ...]) -> None:
        """Check that a module returns image tokens alone in one part of its output, as the dry runs show.

        Args:
            hookpoint: The module.
            grids: Number of image tokens there, for each grid of the dry runs.

        Raises:
            AutointerpError: It returns none, or has others in the same tensor.
        """
        path = hookpoint.partition(".")[2]
        if any(path in seen.changing for seen in self.seen.values()):
            raise AutointerpError(
                f"{hookpoint} of {self.pipeline_class} returns another number of tokens at later steps", NOT_KNOWN
            )
        counts = [by_module.get(path, ()) for by_module in next(iter(self.seen.values())).counts]
        parts = list(zip(*counts, strict=False))
        if grids in parts:
            return
        first, last = grids[0], grids[-1]
        if any(None not in part and part[-1] - part[0] == last - first for part in parts):
            raise AutointerpError(
                f"{hookpoint} has image tokens and others in one tensor, and which are which is not known of "
                f"{self.pipeline_class}",
                NOT_KNOWN,
            )
        raise AutointerpError(
            f"{hookpoint} fires no image tokens: for a picture of {first} of them it returned {list(counts[0])}, of "
            f"{last} {list(counts[-1])}",
            "name another one, such as a whole block",
        )

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        """Find the image tokens of any module by their number; `check_place` has shown that they are.

        Raises:
            AutointerpError: No part of the output has that number of tokens, or several have.
        """
        after = as_tokens(output if (part := _place_of(output, image_tokens)) is None else output[part])
        return same_shape(as_tokens(inputs.get("hidden_states", inputs.get("x"))), after), after

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        part = _place_of(output, image.shape[1])
        if part is None:
            return states_like(image, output)
        if part == 0:
            return with_first_states(output, image)
        return (*output[:part], states_like(image, output[part]), *output[part + 1 :])

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise UsageError(f"the MLP of {hookpoint} is not known to {self.pipeline_class}", "fit another kind")

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        try:
            return {"size": native_size(configs, self.denoiser, 1024)}
        except (KeyError, TypeError):
            return {}

    def _sites(self, configs: Configs) -> dict[str, UNetSite]:
        """Return the sites of a U-Net; none of a transformer, or where the configuration is another one."""
        try:
            return unet_sites(configs[self.denoiser], self.denoiser) if self.denoiser == "unet" else {}
        except (KeyError, TypeError, IndexError):
            return {}


def _site_of(sites: Mapping[str, UNetSite], hookpoint: str | None) -> UNetSite:
    """Return the site of a hookpoint, or of the nearest module around it that is one."""
    path = hookpoint or ""
    while path:
        if path in sites:
            return sites[path]
        path = path.rpartition(".")[0]
    raise UsageError(f"the width of {hookpoint} is not known", f"name a module inside one of: {', '.join(sites)}")


def token_counts(output: Any) -> tuple[int | None, ...]:
    """Return the number of tokens in each part of a module's output; None for a part that holds none."""
    parts = output if isinstance(output, tuple) else (output,)
    return tuple(None if (states := as_tokens(part)) is None else int(states.shape[1]) for part in parts)


def _place_of(output: Any, image_tokens: int) -> int | None:
    """Return the number of the part of an output that holds the image tokens; None where the output is a tensor.

    Raises:
        AutointerpError: No part does, or several could.
    """
    fitting = [part for part, count in enumerate(token_counts(output)) if count == image_tokens]
    if len(fitting) != 1:
        raise AutointerpError(
            f"the hookpoint returned {len(fitting)} tensors of {image_tokens} tokens", "name a module that returns one"
        )
    return fitting[0] if isinstance(output, tuple) else None
