"""Commands that name features and score the names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from autointerp.commands.calls import named_workspace, note, open_context, print_counts, report
from autointerp.commands.declaring import command
from autointerp.commands.options import (
    COUNT,
    dictionary_option,
    dry_run_option,
    labeler_options,
    layer_option,
    machine_options,
    shared_options,
)
from autointerp.errors import UsageError
from autointerp.labeling.asking import VLMS
from autointerp.labeling.judging import CONTROLS, SCORES

if TYPE_CHECKING:
    from autointerp.project.labelers import LabelerRequest


def _layer_or_name(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """`label` needs its layer, but for a name that a person gives a feature."""
    # Options that are not given are processed last, so what is given is known.
    if value is None and not context.params.get("name"):
        raise click.MissingParameter(ctx=context, param=param)
    return value


@command()
@click.option(
    "--layer", callback=_layer_or_name, metavar="L", help="Layer: early, mid, late, or a hookpoint.  [required]"
)
@dictionary_option
@labeler_options
@click.option("-n", "count", type=COUNT, metavar="N", help="Only the first N live features.")
@click.option("--feature", "features", multiple=True, metavar="I", help="Only this latent; repeatable.")
@click.option("--name", metavar="TEXT", help="Your own name for the one --feature DICTIONARY:INDEX.")
@click.option("--explanation", metavar="TEXT", help="Your own explanation, with --name.")
@click.option("--by", metavar="NAME", help="Who you are, with --name.")
@click.option("--retry-failed", is_flag=True, help="Try features again that failed.")
@click.option("--force", is_flag=True, help="Label again what has a label.")
@click.option("--no-score", is_flag=True, help="Leave the labels unscored.")
@click.option(
    "--apart/--no-apart",
    default=None,
    help="Tell features of nearly the same name apart.  [default: where it is free, or fits --max-cost]",
)
@click.option("--candidates", type=COUNT, metavar="N", help="Names a VLM gives each feature; the best is kept.")
@click.option("--clusters", type=COUNT, metavar="N", help="Part each feature's crops into up to N groups to name.")
@machine_options
@dry_run_option
@shared_options
def label(
    layer: str | None,
    dictionary: str | None,
    count: int | None,
    features: tuple[str, ...],
    name: str | None,
    explanation: str | None,
    by: str | None,
    retry_failed: bool,
    force: bool,
    no_score: bool,
    apart: bool | None,
    device: str | None,
    dtype: str | None,
    dry_run: bool,
    **labeler: Any,
) -> None:
    """Name the features of a layer, and score the names on images that the labeler did not see.

    With --name, one feature gets the name that you give it.
    """
    if name is not None:
        _label_by_hand(layer, dictionary, features, name, explanation, by, dry_run)
        return
    if explanation is not None or by is not None:
        raise UsageError("there is an explanation or a person, and no name", "give --name TEXT too")
    from autointerp.project.labelers import check_labeler
    from autointerp.project.targets import resolve_target
    from autointerp.stages.label.labeling import LabelRequest
    from autointerp.stages.pipeline.jobs import LabelJob
    from autointerp.stages.pipeline.labels import label_layer

    assert layer is not None
    latents, dictionary = _latents(features, dictionary)
    request = LabelRequest(_labeler_request(labeler), count, latents, retry_failed, force)
    ctx = open_context(
        create=True,
        dry_run=dry_run,
        layers=[layer],
        check=lambda planned: check_labeler(planned, request.labeler),
        device=device,
        dtype=dtype,
    )
    done = label_layer(ctx, LabelJob(resolve_target(ctx, layer, dictionary), request, not no_score, apart), dry_run)
    report(done.plan, dry_run)
    if not dry_run and done.dictionary is not None:
        print_counts(ctx, done.dictionary.name)
        if not done.plan.nothing_to_do:
            from autointerp.commands.printing.closing import close_label

            close_label(ctx, done.dictionary, named_workspace())


@command()
@layer_option
@dictionary_option
@click.option(
    "--method", "methods", multiple=True, metavar="M", help=f"{SCORES.listed()}; repeatable.  [default: embedding]"
)
@click.option(
    "--judge",
    metavar="KIND",
    help=f"{VLMS.listed()}; on shapes reader; to test the scores {CONTROLS.listed()}.  [default: as the labeler]",
)
@labeler_options
@click.option("--retry-failed", is_flag=True, help="Score again what got no readable answer.")
@machine_options
@dry_run_option
@shared_options
def score(
    layer: str,
    dictionary: str | None,
    methods: tuple[str, ...],
    judge: str | None,
    retry_failed: bool,
    device: str | None,
    dtype: str | None,
    dry_run: bool,
    **labeler: Any,
) -> None:
    """Score the labels of a layer on held-out images."""
    from autointerp.project.targets import resolve_target
    from autointerp.stages.pipeline.jobs import ScoreJob
    from autointerp.stages.pipeline.scores import score_layer
    from autointerp.stages.score.planning import check_methods

    ctx = open_context(device=device, dtype=dtype)
    request = _labeler_request(labeler, judge=judge, ask_again=retry_failed)
    job = ScoreJob(resolve_target(ctx, layer, dictionary), check_methods(methods or ("embedding",)), request)
    done = score_layer(ctx, job, dry_run)
    report(done.plan, dry_run)
    if not dry_run and done.dictionary is not None:
        print_counts(ctx, done.dictionary.name)


def _labeler_request(options: Mapping[str, Any], **more: Any) -> LabelerRequest:
    """Return the request that the options of `options.labeler_options` make; two of its fields have other names."""
    from autointerp.project.labelers import LabelerRequest

    fields = {"labeler": "kind", "vlm": "model"}
    return LabelerRequest(**{fields.get(name, name): value for name, value in options.items()}, **more)


def _latents(features: Sequence[str], dictionary: str | None) -> tuple[tuple[int, ...], str | None]:
    """The latents meant by `I` or `DICTIONARY:I`, and the dictionary that they name, if any."""
    latents = []
    for feature in features:
        name, colon, index = feature.rpartition(":")
        if not index.isdecimal() or len(index) > 9 or bool(colon) != bool(name):
            raise UsageError(f"{feature!r} is no feature", "give --feature its number, or DICTIONARY:INDEX")
        if name and dictionary not in (None, name):
            raise UsageError(f"{feature} is of another dictionary than {dictionary}", "label them one by one")
        dictionary = name or dictionary
        latents.append(int(index))
    return tuple(latents), dictionary


def _label_by_hand(
    layer: str | None,
    dictionary: str | None,
    features: Sequence[str],
    name: str,
    explanation: str | None,
    by: str | None,
    dry_run: bool,
) -> None:
    """One feature gets a person's name; the dictionary may be given in any of the usual ways."""
    from autointerp.project.targets import find_dictionary, resolve_target
    from autointerp.transfer.label_files.storing import HandLabel, name_feature

    latents, dictionary = _latents(features, dictionary)
    if len(latents) != 1:
        raise UsageError("a name is given to one feature", "give --feature DICTIONARY:INDEX, once")
    if dictionary is None and layer is None:
        raise UsageError(f"feature {latents[0]} is of no dictionary", "write --feature DICTIONARY:INDEX")
    ctx = open_context()
    if dictionary is None:
        assert layer is not None
        dictionary = find_dictionary(ctx, resolve_target(ctx, layer)).name
    feature = f"{ctx.dictionary_named(dictionary).name}:{latents[0]}"
    result = name_feature(ctx, HandLabel(feature, name, explanation or "", by or ""), dry_run)
    if result.known:
        note("nothing to do: that is its name already")
    elif dry_run:
        click.echo(f"{feature} would be named")
    else:
        click.echo(f"{feature} is named")
