"""The registry of experiments: a name, a line of help, the class, and the options that the command line offers.

A new experiment is a class in a module and a row here. The registry imports no experiment, so it stays light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from autointerp.experiments.protocol import ExperimentMaker
from autointerp.experiments.ways import WAYS
from autointerp.registry import Kind, Registry

OptionType = Literal["text", "count", "step", "number", "flag", "path", "word"]


@dataclass(frozen=True)
class ExperimentOption:
    """An option of an experiment's command.

    Attributes:
        name: The key under which the experiment gets it; `base_rate` is written `--base-rate`.
        type: What it takes; `word` is one of `words`.
        help: One line.
        default: The value where it is not given; of a `many` option a tuple.
        metavar: The placeholder in help.
        many: Whether it may be given several times; the experiment gets a tuple.
        words: The choices of a `word`.
        required: Whether it must be given.
        argument: Whether it is written without a name, behind the command.
    """

    name: str
    type: OptionType
    help: str = ""
    default: Any = None
    metavar: str = ""
    many: bool = False
    words: tuple[str, ...] = ()
    required: bool = False
    argument: bool = False


@dataclass(frozen=True)
class ExperimentKind(Kind[ExperimentMaker]):
    """An experiment; `path` names its class, which has `plan(ctx, options)`."""

    options: tuple[ExperimentOption, ...] = ()


LAYER = ExperimentOption("layer", "text", "Layer: early, mid, late, or a hookpoint.", metavar="L", required=True)
LAYERS = ExperimentOption(
    "layers", "text", "A layer; repeatable.  [default: every alias with a dictionary]", (), "L", True
)
DICTIONARY = ExperimentOption("dictionary", "text", "Dictionary by name.  [default: the layer's newest]", metavar="X")
AT = ExperimentOption(
    "at", "text", "The model and its number of steps.  [default: the workspace's]", metavar="MODEL:STEPS"
)
IMAGES = ExperimentOption("images", "count", "Pictures behind each figure.", 200, "N")

PHRASES = ExperimentOption(
    "phrases",
    "text",
    "What is looked for in pictures of a model whose world is not known; repeatable.",
    (),
    "TEXT",
    True,
)

WAYS_TRIED = ExperimentOption(
    "ways",
    "word",
    f"Way of editing: {', '.join(WAYS)}; repeatable; sae is always there.  [default: all]",
    (),
    "WAY",
    True,
    tuple(WAYS),
)
DICTIONARIES = ExperimentOption(
    "dictionary", "text", "A dictionary to use; repeatable.  [default: each layer's newest]", (), "X", True
)
DECIDING = ("fits", "transfer", "emergence", "probe", "intervene", "edit")
"""What decides claims: experiments, and the fits of dictionaries."""
CASES = ExperimentOption(
    "cases",
    "text",
    "Cases, whose kinds take turns: a number of the world's own, or a file with the fields of RIEBench.",
    "300",
    "N|FILE",
)
FEATURES = ExperimentOption("features", "count", "Features that an edit may change.", 32, "K")
OTHER_MODEL = (
    ExperimentOption("model", "text", "The other model, as init takes it.  [default: the workspace's]", metavar="M"),
    ExperimentOption("revision", "text", "Branch, tag or commit of the other model.", metavar="R"),
    ExperimentOption(
        "loading",
        "text",
        "How the other model is loaded, e.g. lora=style.safetensors:0.8; repeatable.  [default: as the workspace's, "
        "without its LoRAs]",
        (),
        "KEY=VALUE",
        True,
    ),
    ExperimentOption(
        "steps",
        "count",
        "Denoising steps of the other model.  [default: as the settings say, else its own]",
        None,
        "N",
    ),
    replace(IMAGES, help="Pictures of each model."),
)
"""What names the other model of a comparison."""

EXPERIMENTS: Registry[ExperimentKind] = Registry(
    "experiment",
    [
        ExperimentKind(
            "transfer",
            "A dictionary at other numbers of steps and on other models",
            "autointerp.experiments.transfer:Transfer",
            (
                LAYER,
                DICTIONARY,
                IMAGES,
                ExperimentOption(
                    "at",
                    "text",
                    "Where it is applied: a model and its number of steps; repeatable.  "
                    "[default: the model at 1, 2 and 4 steps, and both models of shapes]",
                    (),
                    "MODEL:STEPS",
                    True,
                ),
                PHRASES,
            ),
        ),
        ExperimentKind(
            "emergence",
            "At which step and layer the finished picture can be read",
            "autointerp.experiments.emergence:Emergence",
            (LAYERS, IMAGES, AT, PHRASES),
        ),
        ExperimentKind(
            "probe",
            "What linear probes of equal budgets read, and what maps labels give",
            "autointerp.experiments.probe:Probe",
            (
                LAYERS,
                IMAGES,
                AT,
                ExperimentOption("steps", "step", "A step, 0-based; repeatable.  [default: all]", (), "S", True),
                PHRASES,
            ),
        ),
        ExperimentKind(
            "edit",
            "Edits in RIEBench's form: which succeed, by which way, at which layer",
            "autointerp.experiments.edit:EditExperiment",
            (
                LAYERS,
                WAYS_TRIED,
                DICTIONARIES,
                CASES,
                ExperimentOption("choose", "count", "Cases on which strengths and layers are chosen.", 60, "N"),
                FEATURES,
            ),
        ),
        ExperimentKind(
            "intervene",
            "When in the run a change still changes the picture",
            "autointerp.experiments.intervene:InterveneExperiment",
            (
                LAYERS,
                DICTIONARIES,
                ExperimentOption(
                    "kinds",
                    "text",
                    "Kind of edit; repeatable.  [default: color, texture, background, position, add]",
                    (),
                    "K",
                    True,
                ),
                replace(CASES, default="200"),
                FEATURES,
                ExperimentOption("strength", "number", "Factor of what features add.", 2.0, "X"),
                ExperimentOption("thirds", "flag", "Only in thirds of the run, not at each step alone.", False),
            ),
        ),
        ExperimentKind(
            "erase",
            "Suppress a concept: is it gone, and is the rest as it was",
            "autointerp.experiments.erase:EraseExperiment",
            (
                ExperimentOption("concepts", "text", many=True, argument=True),
                LAYER,
                DICTIONARY,
                ExperimentOption(
                    "by",
                    "word",
                    "How features are chosen: by their activations, or search: by their names as well.",
                    "contrast",
                    "",
                    False,
                    ("contrast", "search"),
                ),
                ExperimentOption(
                    "images", "count", "Pictures of each concept with it, and as many without it.", 20, "N"
                ),
                FEATURES,
                PHRASES,
            ),
        ),
        ExperimentKind(
            "models",
            "A dictionary on another model: which features fire more, less or newly there",
            "autointerp.experiments.models:ModelsExperiment",
            (replace(DICTIONARY, help="Dictionary by name.", required=True), *OTHER_MODEL),
        ),
        ExperimentKind(
            "claims",
            "Which published claims hold on both models of shapes, decided by the other experiments",
            "autointerp.experiments.claims.experiment:Claims",
            (
                ExperimentOption("quick", "flag", "Few pictures and cases: minutes in place of hours.", False),
                ExperimentOption("images", "count", "Pictures behind each figure.  [default: 200]", None, "N"),
                ExperimentOption("cases", "count", "Cases of edits.  [default: 270]", None, "N"),
                ExperimentOption(
                    "experiments",
                    "word",
                    "Only the claims that this experiment decides; repeatable.  [default: all]",
                    (),
                    "NAME",
                    True,
                    DECIDING,
                ),
            ),
        ),
    ],
)
"""Every experiment of `autointerp experiment`."""
