"""The settings of a workspace: `autointerp.toml`, every key documented, every mistake one clear line."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, PositiveInt, ValidationError

from autointerp.dictionaries.kinds import FITTED
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.errors import UsageError, nearest
from autointerp.labeling.labelers import AUTOMATIC
from autointerp.sizes import Size, parse_size
from autointerp.worlds import DEFAULT_MODEL

FILE = "autointerp.toml"

HERE_ALONE = (
    *("device", "dtype", "batch_size", "workers", "ray", "loading", "database", "images_dir"),
    *("embedder", "text_embedder", "labeler", "vlm", "base_url", "api_key_env", "max_cost", "max_calls"),
    *("max_tokens", "timeout", "grounding"),
)
"""Settings that say something of a machine or of who labels, not of what is harvested.

An export does not tell them, and none is taken from a bundle: it could name a server that keys would be sent to.
"""

DEVICES = "auto, cpu, cuda, cuda:N, mps, or another device as PyTorch names it (xpu, npu:1)"
_KNOWN_DEVICES = re.compile(r"auto|cpu|mps|(cuda|xpu|npu|hpu|mtia|mlu|musa)(:\d+)?")

_LEARNED = FITTED.where(lambda kind: not kind.baseline)
_BASELINES = FITTED.where(lambda kind: kind.baseline)
_PER_STEP = ", ".join(FITTED.where(lambda kind: "per_step" in kind.options))

Count = Annotated[int, Field(ge=0)]


def _size(value: Any) -> Size | None:
    if value is None:
        return None
    try:
        return parse_size(value)
    except UsageError:
        raise ValueError("should be pixels: an integer greater than 0, or WIDTHxHEIGHT in quotes") from None


def _device(value: str) -> str:
    """Check the name of a device. A known one need not be here: workspaces are carried to other machines."""
    if not _KNOWN_DEVICES.fullmatch(value):
        from autointerp.diffusion.devices import devices_of  # PyTorch is only loaded for a name like this.

        kind, numbered, _ = value.partition(":")
        here = devices_of(kind)
        if value not in here and (numbered or not here):
            raise ValueError(f"should be {DEVICES}")
    return value


class SettingsTable(BaseModel):
    """A table of the file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DictionarySettings(SettingsTable):
    """What is fitted where no option says otherwise."""

    kind: str = Field(
        default="topk",
        description=f"what is fitted: {_LEARNED.listed()}; {_BASELINES.listed()} (baselines)",
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
    per_step: bool = Field(default=False, description=f"learn a scale and a shift for each captured step ({_PER_STEP})")
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
        default_factory=dict,
        description="the dictionary a layer means, e.g. mid = 'shapes-turbo.mid.topk'; else the newest",
    )


class CropSettings(SettingsTable):
    """How many crops of a feature are kept."""

    top: PositiveInt = Field(default=16, description="strongest crops of a feature, in all of both splits")
    quantile: Count = Field(default=40, description="crops drawn evenly over the strengths below the top")
    negatives: Count = Field(default=10, description="images in which the feature is silent, drawn at random")
    hard_negatives: Count = Field(
        default=10, description="images in which it is silent and the features of like direction fire most"
    )
    sample: Count = Field(
        default=40,
        description="images drawn by the number of cells in which the feature is active, for names and scores",
    )
    cells: Count = Field(default=400, description="random cells of the layer, for base rates")


class GainSettings(SettingsTable):
    """How much the score `gain` asks a judge."""

    questions: Annotated[int, Field(ge=4)] = Field(
        default=20, description="cells of a feature that a judge is asked about, at most; it stops when they are clear"
    )
    cells: Annotated[int, Field(ge=10)] = Field(
        default=50, description="random cells of the layer, of which a judge is asked once for each name"
    )


class GroundingSettings(SettingsTable):
    """What finds phrases in pictures of a model whose world is not known, for the labeler `grounded`."""

    detector: str = Field(
        default="IDEA-Research/grounding-dino-tiny", min_length=1, description="folder or Hub name of a Grounding DINO"
    )
    segmenter: str = Field(default="facebook/sam-vit-base", min_length=1, description="folder or Hub name of a SAM")
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.3, description="least confidence of a thing that the detector finds"
    )


class Settings(SettingsTable):
    """All keys of `autointerp.toml`. None means the model's own default, or that a choice is made when it is needed."""

    model: str = Field(
        default=DEFAULT_MODEL,
        min_length=1,
        description="'shapes-turbo', 'shapes', a folder of a diffusers pipeline, a Hub name, or a .safetensors or "
        ".ckpt file; a file without this key means 'shapes'",
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
        "folder, or 'datasets:ID:SPLIT:COLUMN'; auto is 'shapes' for the shapes models and 'everyday' for any other",
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
    fit_images: PositiveInt | None = Field(
        default=None, description="images to fit a dictionary on; 800, but no more than images, if not set"
    )
    evaluate_images: PositiveInt = Field(default=1000, description="held-out images for evaluate")
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
    device: Annotated[str, AfterValidator(_device)] = Field(default="auto", description=DEVICES)
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
    labeler: str = Field(default="auto", min_length=1, description=f"auto, {AUTOMATIC.listed()}")
    vlm: str | None = Field(
        default=None, description="model that the labeler vlm asks for, or folder or Hub name of that of local-vlm"
    )
    evidence: Literal["cells", "maps", "peaks"] = Field(
        default="cells",
        description="what a VLM is shown of a feature: cells (pictures drawn by the number of active cells, each "
        "marked at one of these), maps (the same, marked in all of these), or peaks (crops, each marked where the "
        "feature is strongest); shapes-vlm is always shown cells",
    )
    mark: Literal["dim", "outline", "heat"] = Field(
        default="dim",
        description="how a VLM is shown where a feature fires: dim (all around), outline, or heat (an activation map)",
    )
    judge_batch: PositiveInt = Field(
        default=8, description="pictures that one request to a VLM that judges holds; shapes-vlm judges one at a time"
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
    max_tokens: PositiveInt | None = Field(
        default=None,
        description="tokens of a VLM's longest answer, its thoughts among them; if not set 700, and 16000 for models "
        "that think",
    )
    timeout: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="seconds to wait for an answer of a server; if not set 120, 600 for models that think, and 900 for "
        "a server on a private address",
    )
    database: str | None = Field(
        default=None, description="a database URL or a file in this folder; autointerp.db if not set"
    )
    notes: dict[str, str] = Field(
        default_factory=dict,
        description="what the labeler vlm is told of a layer, by alias or hookpoint, e.g. late = 'It sees colours.'",
    )
    dictionary: DictionarySettings = Field(default_factory=DictionarySettings, description="what is fitted")
    crops: CropSettings = Field(default_factory=CropSettings, description="how many crops of a feature are kept")
    gain: GainSettings = Field(default_factory=GainSettings, description="how much the score gain asks a judge")
    grounding: GroundingSettings = Field(
        default_factory=GroundingSettings, description="what finds phrases in pictures, for the labeler grounded"
    )
    loading: LoadingSettings = Field(
        default_factory=LoadingSettings, description="how the model is loaded and kept in memory, see docs/models.md"
    )

    @classmethod
    def from_values(cls, values: dict[str, Any], where: str = "the settings") -> Settings:
        """Return settings of given values, such as options or what a file holds.

        Args:
            values: By key; a table is a dictionary.
            where: What an error calls the place of the values.

        Raises:
            UsageError: A key is unknown or a value is wrong, in one line.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(*_explain(cls, error, where)) from None

    def changed(self, **values: Any) -> Settings:
        """Return a copy in which the given values stand over the present ones; None leaves a key as it is.

        This is the one place where an option of a command beats a setting. Values of a table are given as a dictionary
        and merged into the table.

        Raises:
            UsageError: A key is unknown, or a value is wrong.
        """
        merged = self.model_dump()
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = {**merged[key], **{k: v for k, v in value.items() if v is not None}}
            elif value is not None:
                merged[key] = value
        return self.from_values(merged)


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
    return message[0].lower() + message[1:]
