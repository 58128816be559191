"""The settings of a workspace: `autointerp.toml`, every key documented, every mistake one clear line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, PositiveInt, ValidationError

from autointerp.diffusion.sizes import Size, parse_size
from autointerp.errors import AutointerpError, UsageError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "autointerp.toml"

HEADER = """\
# Settings of an autointerp workspace. A line that starts with '#' and a key shows a key that is not set.
# Changed settings never delete: what they give gets a new name beside the old.
# What a vision-language model is told can be changed too, by files in prompts/ here: see docs/howto.md.
"""

HERE_ALONE = (
    *("device", "dtype", "batch_size", "workers", "ray", "loading", "database", "images_dir"),
    *("embedder", "text_embedder", "labeler", "vlm", "base_url", "api_key_env", "max_cost", "max_calls"),
)
"""Settings that say something of a machine or of who labels, not of what is harvested.

An export does not tell them, and none is taken from a bundle: it could name a server that keys would be sent to.
"""

Count = Annotated[int, Field(ge=0)]


def _size(value: Any) -> Size | None:
    if value is None:
        return None
    try:
        return parse_size(value)
    except UsageError:
        raise ValueError("should be pixels: an integer greater than 0, or WIDTHxHEIGHT in quotes") from None


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DictionarySettings(_Table):
    """What is fitted where no option says otherwise."""

    kind: str = Field(
        default="topk",
        description="what is fitted: topk, batchtopk, jumprelu or itda; neurons, pca or random (baselines)",
    )
    latents: PositiveInt | None = Field(
        default=None, description="number of latents; 8 x the layer's width (SDXL: 4 x, shapes: 2 x) if not set"
    )
    k: PositiveInt | None = Field(
        default=None, description="active latents a token; chosen by the layer's width if not set"
    )
    passes: PositiveInt | None = Field(
        default=None, description="how often each activation is trained on; 4 (30 for shapes) if not set"
    )
    normalize: Literal["none", "standard", "whiten"] = Field(
        default="standard",
        description="what is done to activations first: nothing; mean 0 and deviation 1 in each dimension; or the same "
        "in their principal components",
    )
    per_step: bool = Field(
        default=False, description="learn a scale and a shift for each captured step (topk, batchtopk, jumprelu)"
    )
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="decay of a running mean of the weights, which is then stored; 0 stores the last"
    )
    threshold: Annotated[float, Field(gt=0)] = Field(
        default=0.1, description="itda: share left unexplained above which an activation becomes an atom"
    )
    prune: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.001, description="itda: atoms that fire in a smaller share of a round make room; 0 keeps all"
    )
    pursuit: Literal["exact", "fast"] = Field(
        default="exact", description="itda: mode of the gradient pursuit that encodes"
    )
    buffer: PositiveInt = Field(
        default=32_768, description="activations of a layer held in memory, shuffled and trained on at a time"
    )
    names: dict[str, str] = Field(
        default_factory=dict, description="the dictionary a layer means, e.g. mid = 'shapes.mid.topk'; else the newest"
    )


class CropSettings(_Table):
    """How many crops of a feature are kept."""

    top: PositiveInt = Field(default=16, description="strongest crops of a feature, in all of both splits")
    quantile: Count = Field(default=40, description="crops drawn evenly over the strengths below the top")
    negatives: Count = Field(default=10, description="images in which the feature is silent, drawn at random")
    hard_negatives: Count = Field(
        default=10, description="images in which it is silent and the features of like direction fire most"
    )


class LoadingSettings(_Table):
    """How a pipeline is loaded and kept in memory, as diffusers does it."""

    variant: str | None = Field(
        default=None, min_length=1, description="which of a model's sets of weights is read, e.g. 'fp16'"
    )
    config: str | None = Field(
        default=None,
        min_length=1,
        description="of a single-file checkpoint: a folder or Hub name of a pipeline with the same configuration, "
        "which also gives what the file lacks; what the file looks like if not set",
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

    def made_into(self, revision: str) -> str:
        """The name of weights that are read in this way: `revision`, and what changes them beyond rounding."""
        chosen = [self.variant] if self.variant not in (None, "fp16", "bf16", "fp32") else []
        chosen += [self.quantize] if self.quantize != "none" else []
        return "+".join([revision, *map(str, chosen)])


class Settings(_Table):
    """All keys of `autointerp.toml`. None means the model's own default, or that a choice is made when it is needed."""

    model: str = Field(
        default="shapes",
        min_length=1,
        description="'shapes', a folder of a diffusers pipeline, a Hub name, or a .safetensors or .ckpt file",
    )
    revision: str | None = Field(
        default=None, description="revision of a Hub model, or of a Hub name in loading.config"
    )
    layers: list[str] | None = Field(
        default=None, description="layers to offer, aliases or hookpoints; the aliases if not set"
    )
    prompts: str = Field(
        default="auto",
        min_length=1,
        description="'shapes', 'everyday', a file with one prompt a line (or .jsonl, .parquet, .csv), relative to this "
        "folder, or 'datasets:ID:SPLIT:COLUMN'; auto is 'shapes' for shapes and 'everyday' for any other model",
    )
    images_dir: str | None = Field(
        default=None, min_length=1, description="a folder of real pictures to read in place of generated ones"
    )
    keep_aspect: bool = Field(
        default=False, description="real pictures keep their shape, at about the area of size; else they are cut to it"
    )
    invert: bool = Field(
        default=False, description="real pictures are inverted with the scheduler, not noised with noise that is drawn"
    )
    images: PositiveInt = Field(
        default=1200, description="images to harvest crops from; of real pictures, as many as there are at most"
    )
    fit_images: PositiveInt = Field(default=800, description="images to fit a dictionary on")
    evaluate_images: PositiveInt = Field(default=500, description="held-out images for evaluate")
    steps: PositiveInt | None = Field(default=None, description="denoising steps; the model's default if not set")
    guidance: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="guidance scale; the model's default if not set"
    )
    size: Annotated[Size | None, PlainValidator(_size)] = Field(
        default=None,
        description='image side in pixels, or "WIDTHxHEIGHT"; the model\'s default if not set',
    )
    capture_steps: list[Count] | None = Field(
        default=None, min_length=1, description="0-based steps to read activations at; the model's default if not set"
    )
    signal: Literal["output", "update"] | None = Field(
        default=None, description="output (residual stream) or update (output - input); the layer's default if not set"
    )
    stream: Literal["image", "text"] = Field(
        default="image",
        description="image or text: whose tokens are read; only FLUX and SD3 have text in their blocks",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(default=0, description="what all randomness follows from")
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:N or mps"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto, float32, bfloat16 or float16"
    )
    batch_size: PositiveInt = Field(default=16, description="images generated together; changes no result")
    workers: PositiveInt | None = Field(
        default=None, description="processes that harvest, through Ray, one a GPU where there are any; none if not set"
    )
    ray: str | None = Field(
        default=None, min_length=1, description="address of a Ray cluster that harvests; this machine if not set"
    )
    embedder: str = Field(
        default="auto",
        min_length=1,
        description="auto, 'shapes-clip', or a folder or Hub name of a CLIP or SigLIP model, for vectors of crops and "
        "labels",
    )
    text_embedder: str = Field(
        default="auto",
        min_length=1,
        description="what makes the vectors of label names for search: auto (the embedder), or a folder or Hub name of "
        "any sentence-embedding model",
    )
    labeler: str = Field(default="auto", min_length=1, description="auto, shapes-vlm, local-vlm, vlm, clip or prompts")
    vlm: str | None = Field(
        default=None, description="model that the labeler vlm asks for, or folder or Hub name of that of local-vlm"
    )
    mark: Literal["dim", "outline", "heat"] = Field(
        default="dim",
        description="how a VLM is shown where a feature fires: dim (all around), outline, or heat (an activation map)",
    )
    sheet: bool = Field(default=False, description="show a VLM all pictures of a request as tiles of one")
    candidates: PositiveInt = Field(
        default=1, description="names that a VLM gives a feature, each from other crops; the best by fuzzing is kept"
    )
    clusters: PositiveInt = Field(
        default=1, description="groups that a feature's crops are parted into at most, each named by itself"
    )
    base_url: str | None = Field(default=None, description="OpenAI-compatible server; OpenAI's own if not set")
    api_key_env: str = Field(
        default="OPENAI_API_KEY", min_length=1, description="variable that holds the key, which is never stored"
    )
    max_cost: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="stop labeling at this many dollars"
    )
    max_calls: PositiveInt | None = Field(default=None, description="stop labeling after this many calls")
    database: str | None = Field(
        default=None, description="a database URL or a file in this folder; autointerp.db if not set"
    )
    notes: dict[str, str] = Field(
        default_factory=dict,
        description="what the labeler vlm is told of a layer, by alias or hookpoint, e.g. late = 'It sees colours.'",
    )
    dictionary: DictionarySettings = Field(default_factory=DictionarySettings, description="what is fitted")
    crops: CropSettings = Field(default_factory=CropSettings, description="how many crops of a feature are kept")
    loading: LoadingSettings = Field(
        default_factory=LoadingSettings, description="how the model is loaded and kept in memory, see docs/models.md"
    )

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Settings:
        """Settings from given values, e.g. options; raises `UsageError` with one line for a wrong one."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(*_explain(cls, error, "the settings")) from None

    @classmethod
    def from_assignments(cls, assignments: Iterable[str], values: dict[str, Any]) -> Settings:
        """Settings from `KEY=VALUE` texts, with `values` over them.

        A key of a table is written with a dot (`loading.offload`), a value as in the file; text needs no quotes.

        Raises:
            UsageError: One is not written so, or has an unknown key or a wrong value.
        """
        merged: dict[str, Any] = {}
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            *tables, last = [part.strip() for part in key.split(".")]
            if not equals or not last or not all(tables):
                raise UsageError(f"{assignment!r} sets nothing", "write KEY=VALUE, such as loading.offload=model")
            place = merged
            for table in tables:
                place = place.setdefault(table, {})
                if not isinstance(place, dict):
                    raise UsageError(f"{key!r} is set in two ways", "give it once")
            if last in place:
                raise UsageError(f"{key!r} is set twice", "give it once")
            place[last] = _value(text.strip())
        return cls.from_values({**merged, **values})

    @classmethod
    def from_file(cls, path: Path) -> Settings:
        """Read `autointerp.toml`; raises `AutointerpError` with one line for what is wrong in it."""
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise AutointerpError(f"{path} cannot be read ({error.strerror})", "check its permissions") from None
        except UnicodeDecodeError:
            raise AutointerpError(f"{path} is not text", "write it anew: autointerp init") from None
        except tomllib.TOMLDecodeError as error:
            raise AutointerpError(f"{path} is not valid TOML", f"{_one_line(error)}; correct that line") from None
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise AutointerpError(*_explain(cls, error, str(path))) from None

    def changed(self, **values: Any) -> Settings:
        """A copy with other values, for options that are given (None leaves a key as it is).

        Values of a table are given as a dictionary and merged into it.
        """
        merged = self.model_dump()
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = {**merged[key], **{k: v for k, v in value.items() if v is not None}}
            elif value is not None:
                merged[key] = value
        return self.from_values(merged)

    def to_toml(self) -> str:
        """The file, with each key's description above it; keys that are not set stand as comments."""
        tables = {
            name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), _Table | dict)
        }
        lines = [HEADER, *_lines(self, skip=set(tables))]
        for name, table in tables.items():
            description = type(self).model_fields[name].description
            if isinstance(table, dict):
                inside = [*(f"{_toml(key)} = {_toml(value)}" for key, value in table.items()), ""]
            else:
                inside = _lines(table)
            lines += [f"# {description}", f"[{name}]", "", *inside]
        return "\n".join(lines).rstrip() + "\n"


def _value(text: str) -> Any:
    """A value as TOML reads it; what is no TOML is text."""
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if len(read) == 1 else text


def _lines(table: _Table, skip: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    lines: list[str] = []
    for name, field in type(table).model_fields.items():
        if name in skip:
            continue
        value = getattr(table, name)
        written = f"# {name} =" if value is None else f"{name} = {_toml(value)}"
        lines += [f"# {field.description}", written, ""]
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, float):
        return repr(value)
    # JSON's strings are TOML's, but for characters beyond the BMP and DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _explain(model: type[BaseModel], error: ValidationError, where: str) -> tuple[str, str]:
    """Message and hint for the first mistake; the others show when it is mended."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if not str(part).startswith(("function-", "list["))]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        for part in path[:-1]:
            model = model.model_fields[part].annotation  # type: ignore[assignment]
        return f"unknown key {key!r} in {where}", nearest(path[-1], model.model_fields)
    should = _plain(first["msg"])
    return f"{key} in {where} is {first['input']!r}", f"it {should}"


def _plain(message: str) -> str:
    message = message.removeprefix("Input ").removeprefix("Value error, ").removeprefix("List ")
    message = message.removeprefix("String ").partition(" after validation")[0]
    if message.startswith("should match pattern"):
        return "should be auto, cpu, cuda, cuda:N or mps"
    return message[0].lower() + message[1:]
