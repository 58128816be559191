"""Base classes of families of pipelines and of their text streams.

A family reads sizes from the model's own configuration files. So a small model and a full-size one of the same family
need no entry of their own, and nothing here needs weights or torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.errors import AutointerpError, UsageError

if TYPE_CHECKING:
    from autointerp.diffusion.families.word_attention import WordAttention

Stream = Literal["image", "text"]
Configs = Mapping[str, Mapping[str, Any]]
"""Component name (`transformer`, `vae`) -> its `config.json`; `model_index` -> that of the pipeline."""
FindTokens = Callable[[Mapping[str, Any], Any, int, int], tuple[Any, Any]]
"""(a module's inputs by name, its output, text tokens and image tokens of the call) -> (tokens before it, after it)."""
PutTokens = Callable[[Mapping[str, Any], Any, Any], Any]
"""(a module's inputs by name, its output, new tokens) -> its output with the new tokens."""


class NoDenoisingError(AutointerpError):
    """The target of the model's prediction, or the prediction itself, is not known."""


class PipelineCall(NamedTuple):
    """How a pipeline is called for a guidance scale.

    Attributes:
        arguments: The pipeline's arguments that ask for the guidance.
        branches: Denoiser calls a step that they cause.
        conditional: Number of the conditional call among them.
    """

    arguments: dict[str, Any]
    branches: int
    conditional: int = 0


class CallSizes(NamedTuple):
    """The sizes of a denoiser's call.

    Attributes:
        batch: Number of rows; guidance may double the images.
        text_tokens: Number of text tokens; 0 where text enters by cross-attention alone.
        image_tokens: Number of image tokens; 0 where latents are not packed into tokens.
    """

    batch: int
    text_tokens: int
    image_tokens: int


class TextStream(ABC):
    """The text tokens that run through a family's blocks beside the image tokens.

    Attributes:
        tokenizer: The tokenizer whose tokens make up the stream, see `parts`.
        padded: Whether every text is padded to the full number of tokens; else a call has as many as its longest text.
        padded_before: Whether padding stands before a text that is not padded to the full number; else behind it.
        marked: Whether the tokenizer puts its marks of beginning and end around the text, as it does by itself.
        dropped: First tokens of a text that the pipeline leaves out: those of a template.
        closing: Tokens that the pipeline puts behind a text and its padding: the end of a template.
    """

    tokenizer: str = "tokenizer"
    padded: bool = True
    padded_before: bool = False
    marked: bool = True
    dropped: int = 0
    closing: int = 0

    def render(self, tokenizer: Any, prompt: str) -> str:
        """Return the text that a tokenizer is given for a prompt: the prompt alone, or inside a template."""
        del tokenizer
        return prompt

    def pieces(self, text: str) -> list[str]:
        """Return the pieces of a text that the tokenizer is given one by one; put together, they are the text."""
        return [text]

    @abstractmethod
    def hookpoints(self, configs: Configs) -> list[str]:
        """List the modules that pass text tokens on."""

    def parts(self, max_sequence_length: int) -> tuple[tuple[str, int], ...]:
        """List the tokenizers whose tokens make up the stream, in order, each with its number of tokens."""
        return ((self.tokenizer, max_sequence_length),)

    @abstractmethod
    def tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        """Find text tokens before and after a module, each [batch, text_tokens, width]; see `Family.image_tokens`."""

    @abstractmethod
    def put(self, inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
        """Return a module's output with other text tokens: the inverse of `tokens`."""

    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        """Return the path and the number of the hidden units of the text's MLP, after their activation.

        Raises:
            UsageError: No module returns them, as in all families without an override.
        """
        del configs
        raise no_neurons(hookpoint)

    def length(self, max_sequence_length: int) -> int:
        """Return the number of text tokens of a prompt, padding included."""
        return sum(length for _, length in self.parts(max_sequence_length))


def no_neurons(hookpoint: str) -> UsageError:
    """Return the error for a layer whose MLP keeps its hidden units to itself."""
    return UsageError(
        f"no module of {hookpoint} returns the hidden units of its MLP", "fit another kind than neurons and transcoders"
    )


class Family(ABC):
    """One family of pipelines.

    Attributes:
        name: The family's name.
        pipeline_class: diffusers' class, as `model_index.json` names it.
        denoiser: The component that runs once a step and branch.
        components: Components whose configuration is read.
        defaults: Defaults of the family's models; a model's own files may change them.
        timestep_scales: The scheduler's timestep over the one that the denoiser is given; several where it is not
            certain.
        latents_argument: Name of the denoiser's argument that holds the noised latents.
        timestep_argument: Name of the one that holds the timestep.
        doubles: Whether guidance doubles the batch. Whether one call is doubled is read off its shapes.
        conditional_first: Whether a doubled batch is [positive; negative]; else it is [negative; positive].
        dtype: The half precision that the weights are made for.
        load_arguments: Arguments for diffusers when it loads the pipeline.
        encodes_videos: Whether the autoencoder takes and gives a dimension of time, before rows and columns.
        few: Denoising steps of a distilled model whose files do not say how many.
        unrun: Last timesteps of the scheduler at which the denoiser does not run: the end of the path.
        has_neurons: Whether some module returns the hidden units of an MLP, for dictionaries of neurons.
        has_loras: Whether diffusers loads LoRAs into the denoiser.
        limits: What people should know of its use here, as clauses; empty where there is nothing to say.
        open: Whether any module of the denoiser may be a hookpoint, listed or not.
        may_lack: Components that a pipeline runs without, although its class asks for them.
        needs: Libraries that the pipeline's code uses whether they are there or not.
        text: The text stream inside the blocks; None where there is none.
        word_attention: Where and how image tokens attend to the text; None where that is not known.
    """

    name: str
    pipeline_class: str
    denoiser: str
    components: tuple[str, ...]
    defaults: ModelDefaults
    timestep_scales: tuple[float, ...] = (1.0,)
    latents_argument: str = "hidden_states"
    timestep_argument: str = "timestep"
    doubles: bool = False
    conditional_first: bool = False
    dtype: Literal["bfloat16", "float16"] = "bfloat16"
    load_arguments: Mapping[str, Any] = {}
    encodes_videos: bool = False
    few: int = 4
    unrun: int = 0
    has_neurons: bool = True
    has_loras: bool = True
    limits: str = ""
    open: bool = False
    may_lack: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    text: TextStream | None = None
    word_attention: WordAttention | None = None

    @abstractmethod
    def hookpoints(self, configs: Configs) -> list[str]:
        """List the dotted paths of modules that can be captured, in the order in which they run."""

    @abstractmethod
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name some hookpoints: alias -> hookpoint."""

    @abstractmethod
    def width(self, configs: Configs, hookpoint: str) -> int:
        """Return the number of channels of a hookpoint."""

    @abstractmethod
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        """Return the side in pixels of the patch of one token of a hookpoint.

        Without a hookpoint, return the number that a picture's side must be a multiple of.
        """

    @abstractmethod
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Say how the pipeline is called for a guidance scale and a number of images."""

    @abstractmethod
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        """Find image tokens before and after a module, each [batch, image_tokens, width].

        Args:
            inputs: The module's arguments by name.
            output: The module's output.
            text_tokens: Number of text tokens in this call of the denoiser.
            image_tokens: Number of image tokens in it.

        Returns:
            The tokens before the module (None where it has no input of the same shape), and after it.

        Raises:
            AutointerpError: The shapes fit no form that is known.
        """

    @abstractmethod
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        """Return a module's output with other image tokens: the inverse of `image_tokens`."""

    @abstractmethod
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        """Return the path and the number of the hidden units of a layer's MLP, after their activation.

        Raises:
            UsageError: No module returns them, see `no_neurons`.
        """

    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        """Read defaults from a model's own files, most of all its native size."""
        del configs
        return {}

    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        """List the tokenizers that read a prompt, each with the most tokens of it that the model is given.

        None is the tokenizer's own limit, as CLIP's 77. A prompt is cut where none of them reads all of it.
        """
        del max_sequence_length
        return (("tokenizer", None),)

    def pack_latents(self, latents: Any) -> Any:
        """Pack latents [batch, channels, rows, cols] into tokens, where the denoiser takes tokens."""
        return latents

    def scale_latents(self, vae: Any, latents: Any) -> Any:
        """Shift and scale latents [batch, channels, rows, cols] as an autoencoder's configuration says."""
        config = vae.config
        if config.get("latents_mean") is not None and config.get("latents_std") is not None:
            mean, std = (latents.new_tensor(config[key]).view(1, -1, 1, 1) for key in ("latents_mean", "latents_std"))
            latents = (latents - mean) / std
        else:
            latents = latents - (config.get("shift_factor") or 0.0)
        return latents * config.get("scaling_factor", 1.0)

    def latents(self, inputs: Mapping[str, Any]) -> Any:
        """Return the noised latents among the arguments of a denoiser's call, [rows, ...], packed or not."""
        return inputs[self.latents_argument]

    def with_latents(self, inputs: Mapping[str, Any], latents: Any) -> dict[str, Any]:
        """Return the arguments of a denoiser's call with other latents: the inverse of `latents`."""
        return {**inputs, self.latents_argument: latents}

    def schedule(self, steps: int) -> Mapping[str, Any]:
        """Return what the pipeline, and its scheduler for its timesteps, are given for a number of steps alone."""
        del steps
        return {}

    def mended(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments of a denoiser's call as they should be, where a pipeline gives it wrong ones."""
        return inputs

    def timestep(self, inputs: Mapping[str, Any]) -> Any:
        """Return the timestep among the arguments of a denoiser's call."""
        return inputs[self.timestep_argument]

    def prediction(self, output: Any, image_tokens: int = 0) -> Any:
        """Return what the denoiser predicts, in the form of `latents`, as the scheduler is given it.

        Args:
            output: The denoiser's output.
            image_tokens: Number of image tokens in the call; 0 where latents are not packed into tokens.
        """
        del image_tokens
        return output[0]

    def answer(self, prediction: Any) -> Any:
        """Return a denoiser's output that predicts this: the inverse of `prediction`."""
        return (prediction,)

    def sizes(self, inputs: Mapping[str, Any]) -> CallSizes:
        """Read the sizes off the arguments of a denoiser's call, by name."""
        latents, text = self.latents(inputs), inputs.get("encoder_hidden_states")
        text_tokens = text.shape[1] if text is not None and getattr(text, "ndim", 0) == 3 else 0
        return CallSizes(latents.shape[0], text_tokens, latents.shape[1] if latents.ndim == 3 else 0)

    def timesteps(self, given: float) -> tuple[float, ...]:
        """Return the scheduler's timestep of a timestep that the denoiser is given; several where it is not certain."""
        return tuple(given * scale for scale in self.timestep_scales)

    def conditional_rows(self, batch: int, count: int) -> slice:
        """Return the conditional rows of a call with `batch` rows, for `count` images."""
        return slice(count) if self.conditional_first else slice(batch - count, batch)

    def tokens(self, stream: Stream) -> FindTokens:
        """Return the method that finds a stream's tokens."""
        return self.image_tokens if stream == "image" else self.text_stream().tokens

    def put(self, stream: Stream) -> PutTokens:
        """Return the method that puts other tokens of a stream into a module's output."""
        return self.put_image_tokens if stream == "image" else self.text_stream().put

    def text_stream(self) -> TextStream:
        """Return the text stream.

        Raises:
            UsageError: The family has none inside its blocks, or none is known.
        """
        if self.text is None:
            none = "is not known to have" if self.open else "has no"
            raise UsageError(f"{self.pipeline_class} {none} text tokens inside its blocks", "read its image tokens")
        return self.text
