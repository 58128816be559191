"""The claims, declared before anything is measured: each with its source and its rule.

What papers print was read in the papers, or, where it says so, in what others wrote about them. Many claims come
without a figure: then `theirs` says what was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from autointerp.experiments.claims.claim import NEEDED, Claim, Contrast, Sum, Term, mean_of

FLUX, ONE_STEP, EMERGENCE = "2505.24360", "2410.22366", "2504.15473"
LOOK, DDAE = "2606.31699", "2303.09769"
SOURCES: Mapping[str, str] = {
    FLUX: "Interpreting large text-to-image diffusion models with dictionary learning (Shabalin et al.)",
    ONE_STEP: "One-step is enough: sparse autoencoders for text-to-image diffusion models (Surkov et al.)",
    EMERGENCE: "Emergence and evolution of interpretable concepts in diffusion models (Tinaz et al.)",
    LOOK: "Look but don't touch with sparse autoencoders for unlearning in diffusion models (Cassano et al.)",
    DDAE: "Denoising diffusion autoencoders are unified self-supervised learners (Xiang et al.)",
}
"""The papers, by their arXiv numbers."""
FITS, SINGLE, TURBO, BASE = "fits", "one-step", "turbo", "base"
"""Names of the studies: see `studies.py`."""
BOTH = (TURBO, BASE)
SURFACE, OUTLINE = ("color", "texture"), ("position", "add", "remove", "replace")
"""Kinds of edits that leave outlines as they are, and kinds that change what is where."""
STYLE, LAYOUT = ("color", "texture", "background"), ("position", "add")
"""The same among the kinds that are changed in parts of the run."""
ATTRIBUTES = ("color", "shape", "texture", "size", "background")
"""Attributes of cells that probes tell apart."""
PROBED = 0.02
"""A difference of accuracies below two points counts as none: probes of all inputs are nearly always right."""
HALF = 0.5


def _one(name: str, group: str, way: str) -> Sum:
    return ((1.0, Term(name, group, way)),)


def _each(names: Iterable[str], group: str, way: str) -> Sum:
    return mean_of([Term(name, group, way) for name in names])


def _iou(kind: str, step: str, way: str, layer: str = "mid") -> Sum:
    return _one(f"IoU of {kind}", f"{layer}, step {{{step}}}", way)


def _probes(budget: str, layer: str, step: str, way: str) -> Sum:
    return _each([f"{kind}, {budget}" for kind in ATTRIBUTES], f"{layer}, step {{{step}}}", way)


def _edits(measure: str, way: str) -> Sum:
    return _one(measure, "all kinds", way)


def _by_layer(kinds: Sequence[str], layer: str) -> Sum:
    return _each([f"success by layer: {kind}" for kind in kinds], layer, "sae")


def _thirds(kinds: Sequence[str], part: str, way: str = "sae") -> Sum:
    return _each([f"reached: {kind}" for kind in kinds], f"{part} third", way)


def _less(left: Sum, right: Sum) -> Sum:
    return (*left, *((-weight, term) for weight, term in right))


_LABELS, _FVU = "labels that stay true", "fvu"


_AT_HOME = Contrast(
    "share of the layer's variance that is explained at home",
    ((-1.0, Term(_FVU, "shapes-turbo, 1 step: step 0", "dictionary")),),
    margin=HALF,
    plus=1.0,
    premise=True,
)
_EDITS_WORK = Contrast(
    "edits that succeed, by features less random directions",
    _edits("success", "sae"),
    _edits("success", "random"),
    premise=True,
)


def _changes(kinds: Sequence[str]) -> Contrast:
    """Return that features change pictures at all, where they do so at every step."""
    reached = [f"reached: {kind}" for kind in kinds]
    return Contrast(
        f"{', '.join(kinds)} reached by features at all steps less random directions",
        _each(reached, "all steps", "sae"),
        _each(reached, "all steps", "random"),
        premise=True,
    )


def _still_true(at: str) -> Contrast:
    return Contrast(
        "share of the labels that are true at home and still are", _one(_LABELS, at, "dictionary"), (), HALF
    )


def _rebuilds(at: str) -> Contrast:
    unexplained = ((-1.0, Term(_FVU, at, "dictionary")),)
    return Contrast("share of the layer's variance that is explained", unexplained, (), HALF, plus=1.0)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "raw-inputs",
        "Without normalized inputs nearly all latents die",
        FLUX,
        "over 99% dead with raw inputs, under 30% with normalized ones",
        "fits",
        (FITS,),
        (
            Contrast("dead share, raw inputs", _one("dead share", "raw inputs", "topk"), (), HALF),
            Contrast(
                "dead share, raw inputs less normalized ones",
                _one("dead share", "raw inputs", "topk"),
                _one("dead share", "normalized inputs", "topk"),
            ),
        ),
    ),
    Claim(
        "comparable-kinds",
        "Features of ITDA are as interpretable as those of an SAE",
        FLUX,
        "about equal by scores of names; histograms without means",
        "fits",
        (FITS,),
        (
            Contrast(
                "share of features with a specific truth, SAE",
                _one("features with a specific truth", "normalized inputs", "topk"),
                premise=True,
            ),
            Contrast(
                "share of features with a specific truth, ITDA less SAE",
                _one("features with a specific truth", "normalized inputs", "itda"),
                _one("features with a specific truth", "normalized inputs", "topk"),
                within=2 * NEEDED,
            ),
        ),
    ),
    Claim(
        "above-neurons",
        "Features of an SAE are more interpretable than neurons of the MLP",
        FLUX,
        "above neurons by scores of names; histograms without means",
        "fits",
        (FITS,),
        (
            Contrast(
                "share of features with a specific truth, SAE less neurons",
                _one("features with a specific truth", "normalized inputs", "topk"),
                _one("features with a specific truth", "normalized inputs", "neurons"),
            ),
        ),
    ),
    Claim(
        "steering",
        "Adding features inside a region paints the thing there",
        FLUX,
        "pictures; no figure",
        "edit",
        BOTH,
        (
            Contrast(
                "objects added where they were wanted, by features less random directions",
                _one("reached", "add", "sae"),
                _one("reached", "add", "random"),
            ),
        ),
    ),
    Claim(
        "several-steps",
        "A one-step dictionary serves at every step of several, without training",
        ONE_STEP,
        "pictures, and explained variance over steps",
        "transfer",
        (SINGLE,),
        (_AT_HOME, _still_true("{turbo_last}"), _rebuilds("{turbo_last}")),
    ),
    Claim(
        "base-model",
        "A one-step dictionary serves at every step of the base model, without training",
        ONE_STEP,
        "pictures, and explained variance over steps",
        "transfer",
        (SINGLE,),
        (_AT_HOME, _still_true("{base_last}"), _rebuilds("{base_last}")),
    ),
    Claim(
        "base-model-early",
        "A one-step dictionary serves at the first step of the base model, without training",
        ONE_STEP,
        "pictures, and explained variance over steps",
        "transfer",
        (SINGLE,),
        (_AT_HOME, _still_true("{base_first}"), _rebuilds("{base_first}")),
    ),
    Claim(
        "features-edit",
        "Features, turned on and off, edit pictures as wanted",
        ONE_STEP,
        "CLIP gain against LPIPS; no share of edits",
        "edit",
        BOTH,
        (
            Contrast(
                "edits that succeed, by features less random directions",
                _edits("success", "sae"),
                _edits("success", "random"),
            ),
            Contrast("the same, less neurons of the MLP", _edits("success", "sae"), _edits("success", "neurons")),
        ),
    ),
    Claim(
        "blocks-specialise",
        "Early blocks make the composition, late blocks colors and textures",
        ONE_STEP,
        "one block of composition, one of details, one of color and style; no figure",
        "edit",
        BOTH,
        (
            _EDITS_WORK,
            Contrast(
                "edits of colors and textures at the late layer less the early one, less the same of objects",
                _less(_by_layer(SURFACE, "late"), _by_layer(SURFACE, "early")),
                _less(_by_layer(OUTLINE, "late"), _by_layer(OUTLINE, "early")),
            ),
        ),
    ),
    Claim(
        "layout-by-names",
        "The layout can be read from named features before the first step ends",
        EMERGENCE,
        "IoU about 0.26 (second-hand)",
        "emergence",
        BOTH,
        (
            Contrast(
                "IoU of objects at the last step, by names of features less a guess from places",
                _iou("object", "last", "labels"),
                _one("IoU of object", "input, step {last}", "places"),
                premise=True,
            ),
            Contrast(
                "IoU of objects at the first step, by names of features less a guess from places",
                _iou("object", "first", "labels"),
                _one("IoU of object", "input, step {first}", "places"),
            ),
        ),
    ),
    Claim(
        "layout-by-codes",
        "The codes of the first step hold the layout",
        EMERGENCE,
        "IoU about 0.26 (second-hand)",
        "emergence",
        BOTH,
        (
            Contrast(
                "IoU of objects at the first step, by a readout of codes less a guess from places",
                _iou("object", "first", "codes"),
                _one("IoU of object", "input, step {first}", "places"),
            ),
            Contrast(
                "the same, less a readout of random directions",
                _iou("object", "first", "codes"),
                _iou("object", "first", "random"),
                0.0,
            ),
        ),
    ),
    Claim(
        "layout-settles",
        "The layout is settled by the middle of the run",
        EMERGENCE,
        "saturates by t = 0.5 (second-hand)",
        "emergence",
        BOTH,
        (
            Contrast(
                "IoU of objects at the last step, by a readout of codes less a guess from places",
                _iou("object", "last", "codes"),
                _one("IoU of object", "input, step {last}", "places"),
                premise=True,
            ),
            Contrast(
                "IoU of objects by codes, at the middle step less at the last one",
                _iou("object", "middle", "codes"),
                _iou("object", "last", "codes"),
                -NEEDED,
            ),
        ),
    ),
    Claim(
        "layout-first",
        "The layout comes before colors and textures",
        EMERGENCE,
        "composition early, style in the middle, texture last; no figure of reading",
        "emergence",
        BOTH,
        (
            Contrast(
                "gain of readouts of activations over the run on colors and textures, less on objects",
                _less(
                    _each([f"IoU of {kind}" for kind in SURFACE], "mid, step {last}", "raw"),
                    _each([f"IoU of {kind}" for kind in SURFACE], "mid, step {first}", "raw"),
                ),
                _less(_iou("object", "last", "raw"), _iou("object", "first", "raw")),
            ),
        ),
    ),
    Claim(
        "composition-early",
        "Changes of the composition succeed in the early steps, and hardly later",
        EMERGENCE,
        "80% early, 23 to 25% later (second-hand)",
        "intervene",
        (BASE,),
        (
            _changes(LAYOUT),
            *(
                Contrast(
                    f"objects moved or added by features in the early third less the {part} one",
                    _thirds(LAYOUT, "early"),
                    _thirds(LAYOUT, part),
                )
                for part in ("middle", "late")
            ),
        ),
    ),
    Claim(
        "style-middle",
        "Changes of style succeed in the middle steps",
        EMERGENCE,
        "93% in the middle (second-hand)",
        "intervene",
        (BASE,),
        (
            _changes(STYLE),
            *(
                Contrast(
                    f"colors, textures and backgrounds changed by features in the middle third less the {part} one",
                    _thirds(STYLE, "middle"),
                    _thirds(STYLE, part),
                )
                for part in ("early", "late")
            ),
        ),
    ),
    Claim(
        "end-textures",
        "The last steps change textures, and nothing else",
        EMERGENCE,
        "no figure",
        "intervene",
        (BASE,),
        (
            _changes(("texture",)),
            Contrast(
                "textures changed by features in the late third less random directions",
                _thirds(("texture",), "late"),
                _thirds(("texture",), "late", "random"),
            ),
            Contrast(
                "textures less objects and backgrounds changed in the late third",
                _thirds(("texture",), "late"),
                _thirds((*LAYOUT, "background"), "late"),
            ),
        ),
    ),
    Claim(
        "features-detect",
        "Sparse features detect concepts well",
        LOOK,
        "reliable; no figure",
        "probe",
        BOTH,
        (
            Contrast(
                "accuracy of the best 8 codes less the best 8 random directions",
                _probes("best 8 inputs", "mid", "last", "codes"),
                _probes("best 8 inputs", "mid", "last", "random"),
            ),
            Contrast(
                "the same less the best 8 neurons",
                _probes("best 8 inputs", "mid", "last", "codes"),
                _probes("best 8 inputs", "mid", "last", "neurons"),
            ),
        ),
    ),
    Claim(
        "features-spoil",
        "Editing features leaves what the model paints",
        LOOK,
        "artifacts in 57% of the pictures from which SAeUron erases an object",
        "edit",
        BOTH,
        (
            Contrast(
                "valid pictures, without an edit less edited by features",
                _edits("valid", "none"),
                _edits("valid", "sae"),
            ),
        ),
    ),
    Claim(
        "replacing-stays",
        "Replaced cells spoil fewer pictures than edited features",
        LOOK,
        "artifacts in 16% in place of 57%",
        "edit",
        BOTH,
        (
            Contrast(
                "valid pictures, by replaced cells less by features", _edits("valid", "patch"), _edits("valid", "sae")
            ),
        ),
    ),
    Claim(
        "replacing-works",
        "Replacing cells edits better than features do",
        LOOK,
        "mean of three measures of erasing 84% in place of 82%",
        "edit",
        BOTH,
        (
            Contrast(
                "edits that succeed, by replaced cells less by features",
                _edits("success", "patch"),
                _edits("success", "sae"),
            ),
        ),
    ),
    Claim(
        "middle-layer",
        "The best linear features are in the middle of the network",
        DDAE,
        "curves over layers",
        "probe",
        BOTH,
        tuple(
            Contrast(
                f"accuracy of probes of all activations, at the middle layer less the {layer} one",
                _probes("all inputs", "mid", "middle", "raw"),
                _probes("all inputs", layer, "middle", "raw"),
                PROBED,
            )
            for layer in ("early", "late")
        ),
    ),
    Claim(
        "moderate-noise",
        "The best linear features are found at moderate noise",
        DDAE,
        "curves over noise",
        "probe",
        (BASE,),
        tuple(
            Contrast(
                f"accuracy of probes of all activations, at the middle step less the {step} one",
                _probes("all inputs", "mid", "middle", "raw"),
                _probes("all inputs", "mid", step, "raw"),
                PROBED,
            )
            for step in ("first", "last")
        ),
    ),
)
"""Every claim that is tested."""
