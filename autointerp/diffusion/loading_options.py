"""Options of loading a model: the table `loading` of the settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from autointerp.diffusion.loras import split_weight


def _listed(value: Any) -> Any:
    """Take one LoRA without brackets for a list of it."""
    return [value] if isinstance(value, str) else value


def _lora(entry: str) -> str:
    """Check the form of an entry, without looking for its file."""
    try:
        split_weight(entry)
    except ValueError:
        raise ValueError("should be PATH or OWNER/NAME, with :WEIGHT where that is not 1, a number") from None
    return entry


class LoadingSettings(BaseModel):
    """How a pipeline is loaded and kept in memory, as diffusers does it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    variant: str | None = Field(
        default=None, min_length=1, description="which of a model's sets of weights is read, e.g. 'fp16'"
    )
    config: str | None = Field(
        default=None,
        min_length=1,
        description="of a single-file checkpoint: a folder or Hub name of a pipeline with the same configuration, "
        "which also gives what the file lacks; what the file looks like if not set",
    )
    lora: Annotated[list[Annotated[str, AfterValidator(_lora)]], BeforeValidator(_listed)] = Field(
        default_factory=list,
        description="LoRAs that are added to the weights, each a .safetensors file, a folder, or a Hub name (with the "
        "file's name where there are several), and its weight, e.g. ['style.safetensors:0.8']; needs autointerp[lora]; "
        "what is read from such a model is a result of its own",
    )
    local_files_only: bool = Field(
        default=False, description="never ask the Hub, as HF_HUB_OFFLINE=1 does; what is cached is still found"
    )
    quantize: Literal["none", "int8", "fp8", "nf4"] = Field(
        default="none",
        description="weights of the denoiser's linear layers: int8 or fp8 (torchao), nf4 (bitsandbytes, needs a GPU); "
        "what is read from such a model is a result of its own",
    )
    offload: Literal["none", "model", "sequential"] = Field(
        default="none",
        description="what waits in main memory while it is not used: nothing, whole components, or every module (slow)",
    )
    vae_slicing: bool = Field(default=False, description="decode the pictures of a batch one by one")
    vae_tiling: bool = Field(default=False, description="decode large pictures in tiles, which blend at their borders")
    attention_slicing: bool = Field(
        default=False, description="compute a U-Net's attention in parts (slow; helps where there is little memory)"
    )
    compile: Literal["none", "inductor", "aot_eager", "eager"] = Field(
        default="none", description="backend of torch.compile for the denoiser's blocks; inductor is the fast one"
    )

    def __hash__(self) -> int:
        """Hash the values: a list, as `lora` is, has no hash of its own."""
        return hash(self.model_dump_json())

    def placed(self, resolve: Callable[[str], str]) -> dict[str, Any]:
        """Return the options that name files, with each place gone through a function that makes paths absolute."""
        loras = [(resolve(place), weight) for place, weight in self._loras]
        return {
            "config": None if self.config is None else resolve(self.config),
            "lora": [f"{place}:{weight}" for place, weight in loras],
        }

    def of_weights(self) -> dict[str, Any]:
        """Return the options that change the weights, without those that are not set; of a file its name alone."""
        loras = [(Path(place).name if Path(place).is_absolute() else place, weight) for place, weight in self._loras]
        chosen = {
            "variant": self.variant,
            "lora": [f"{place}:{weight:g}" for place, weight in loras],
            "quantize": None if self.quantize == "none" else self.quantize,
        }
        return {name: value for name, value in chosen.items() if value}

    @property
    def _loras(self) -> list[tuple[str, float]]:
        return [split_weight(entry) for entry in self.lora]

    def made_into(self, revision: str) -> str:
        """Extend a revision by the options that change the weights beyond rounding."""
        chosen = [self.variant] if self.variant not in (None, "fp16", "bf16", "fp32") else []
        chosen += [self.quantize] if self.quantize != "none" else []
        return "+".join([revision, *map(str, chosen)])
