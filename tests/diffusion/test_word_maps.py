"""Word maps of every family against the attention that the model itself computed, added up by hand."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from autointerp.diffusion.capture import Capture
from autointerp.diffusion.families import FAMILIES
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.layers import Layer, list_layers
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.model import Model
from autointerp.diffusion.word_maps import WordMaps, WordRequest, joined, normalized, resized
from autointerp.diffusion.words import Word, WordReader, attention_of
from autointerp.errors import AutointerpError, UsageError
from tests.diffusion import tiny_recent
from tests.diffusion.helpers import JOBS, NAMES, Folders, Models, hooks_on, settings_of


class Place(NamedTuple):
    """Where a family attends to the text: paths of modules, and the columns of the text among its keys."""

    modules: str
    columns: slice
    image_rows: slice
    parts: tuple[tuple[str, int], ...]


CLIP, T5 = ("tokenizer", 28), ("tokenizer_2", 28)
ALL = slice(None)
CROSS = r"(down_blocks|mid_block|up_blocks)\..*\.attn2"
PLACES = {
    "sd": Place(CROSS, ALL, ALL, (CLIP,)),
    "sdxl": Place(CROSS, ALL, ALL, (CLIP,)),
    "flux": Place(r"(single_)?transformer_blocks\.\d\.attn", slice(28), slice(28, None), (T5,)),
    "sd3": Place(r"transformer_blocks\.\d\.attn", slice(16, None), slice(16), (("tokenizer", 77), ("tokenizer_3", 28))),
    "pixart": Place(r"transformer_blocks\.\d\.attn2", ALL, ALL, (CLIP,)),
    "pixart-alpha": Place(r"transformer_blocks\.\d\.attn2", ALL, ALL, (CLIP,)),
}


PLACES |= {"lcm": PLACES["sd"], "flux-kontext": PLACES["flux"], "sana": PLACES["pixart"]}
PLACES["sana-sprint"] = PLACES["sana"]
PLACES["chroma"] = PLACES["flux"]._replace(parts=(CLIP,))


class Attended(NamedTuple):
    """The attention of one module in one call: queries, keys and the mask that its softmax was given."""

    query: torch.Tensor
    key: torch.Tensor
    mask: torch.Tensor | None


@contextlib.contextmanager
def watching(model: Model, pattern: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Attended]]:
    """Keep what PyTorch's attention is given inside modules whose paths match a pattern."""
    seen: list[Attended] = []
    inside: list[Any] = []
    real = torch.nn.functional.scaled_dot_product_attention

    def attention(query: Any, key: Any, value: Any, attn_mask: Any = None, **how: Any) -> Any:
        if inside:
            seen.append(Attended(query.clone(), key.clone(), None if attn_mask is None else attn_mask.clone()))
        return real(query, key, value, attn_mask=attn_mask, **how)

    modules = [module for path, module in model.denoiser.named_modules() if re.fullmatch(pattern, path)]
    assert modules
    handles = [module.register_forward_pre_hook(lambda *_: inside.append(1)) for module in modules]
    handles += [module.register_forward_hook(lambda *_: inside.clear()) for module in modules]
    with monkeypatch.context() as patched:
        patched.setattr(torch.nn.functional, "scaled_dot_product_attention", attention)
        yield seen
    for handle in handles:
        handle.remove()


def token_columns(model: Model, place: Place, prompt: str, word: str) -> list[int]:
    """The columns of a word's tokens: tokens are joined until they spell the prompt's words."""
    columns, before = [], 0
    spelled = prompt.replace(" ", "")
    start = spelled.index(word)
    for part, length in place.parts:
        tokenizer, at = getattr(model.pipeline, part), 0
        ids = tokenizer(prompt, padding="max_length", max_length=length, truncation=True).input_ids
        assert len(ids) == length
        for i, token in enumerate(tokenizer.convert_ids_to_tokens(ids)):
            letters = re.sub("</w>|[▁Ġ]", "", token)
            if letters and spelled.startswith(letters, at):
                if start < at + len(letters) and at < start + len(word):
                    columns.append(before + i)
                at += len(letters)
        assert at == len(spelled)
        before += length
    return columns


def by_hand(model: Model, place: Place, seen: list[Attended], job: int, word: str) -> np.ndarray:
    """The mean over all modules and calls of a word's attention, on the finest grid, float64 [rows, cols]."""
    prompt, count, total = JOBS[job].prompt, len(JOBS), []
    for query, key, mask in seen:
        row = query.shape[0] - count + job
        heads = []
        for head in range(query.shape[1]):
            products = query[row, head].double() @ key[row, head].double().T / query.shape[-1] ** 0.5
            if mask is not None:
                products = products + mask[row, head % mask.shape[1]].double()
            powers = products.exp()
            shares = (powers / powers.sum(1, keepdim=True))[place.image_rows, place.columns]
            heads.append(shares[:, token_columns(model, place, prompt, word)].mean(1))
        mean = torch.stack(heads).mean(0)
        side = int(len(mean) ** 0.5)
        total.append(mean.reshape(side, side).numpy())
    finest = max(len(one) for one in total)
    by_side = {len(one): [o for o in total if len(o) == len(one)] for one in total}
    grown = [
        len(some) * np.asarray(resized(np.mean(some, 0, keepdims=True), (finest, finest))[0], float)
        for some in by_side.values()
    ]
    return np.sum(grown, 0) / len(total)


def read(model: Model, settings: GenerationSettings, **how: Any) -> tuple[dict[int, WordMaps], list[np.ndarray]]:
    found: dict[int, WordMaps] = {}
    reader = WordReader(model.description, settings.max_sequence_length)
    request = WordRequest(reader, lambda job, maps: found.update({job.index: maps}), how.pop("steps", None))
    capture = Capture([], [], lambda _: None, request)
    batches = list(generate(model, JOBS, settings, capture, **how))
    return found, [np.asarray(picture) for _, pictures in batches for picture in pictures]


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
@pytest.mark.parametrize("name", PLACES)
def test_maps_are_the_models_own_attention(
    tiny_model: Models, name: str, guided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under guidance FLUX and Chroma run twice a step, conditional first; others double the batch, conditional last.

    PNDM runs the U-Net once more in its second step, to correct the first.
    """
    model, place = tiny_model(name), PLACES[name]
    guidance = tiny_recent.GUIDED[name] if guided else model.defaults.guidance
    settings = settings_of(model, steps=2, guidance=guidance)
    with watching(model, place.modules, monkeypatch) as seen:
        found, _ = read(model, settings)
    runs = {("flux", True): 4, ("chroma", True): 4, ("sd", True): 3, ("sd", False): 3}.get((name, guided), 2)
    read_runs = (0, 1) if runs == 2 else (0, 2)
    modules = len(seen) // runs
    seen = [one for i, one in enumerate(seen) if i // modules in read_runs]
    assert [word.text for word in found[0].words] == ["large", "red", "solid", "circle"]
    assert [word.text for word in found[1].words] == ["small", "blue", "star"]
    for job, maps in found.items():
        for word, heat in zip(maps.words, maps.maps, strict=True):
            expected = by_hand(model, place, seen, job, word.text)
            assert heat.shape == expected.shape
            np.testing.assert_allclose(heat, expected, atol=1e-6)
            assert heat.std() > 1e-6, "an even map would hold by any computation"


def test_every_family_that_says_where_it_attends_is_tried(tiny_model: Models) -> None:
    attending = {name for name in FAMILIES if FAMILIES[name].load().word_attention is not None}
    assert attending == {tiny_model(name).family.pipeline_class for name in PLACES}


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_the_same_bit_for_bit_and_no_hook_stays(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    settings, hooks = settings_of(model, name, steps=2), hooks_on(model)
    plain = [np.asarray(p) for _, some in generate(model, JOBS, settings) for p in some]
    _, pictures = read(model, settings)
    for one, other in zip(plain, pictures, strict=True):
        np.testing.assert_array_equal(one, other)
    assert hooks_on(model) == hooks


def test_the_same_maps_come_without_pictures_and_alone(tiny_model: Models) -> None:
    model = tiny_model("sd")
    settings = settings_of(model, "sd", steps=3)
    whole, _ = read(model, settings)
    bare, pictures = read(model, settings, decode=False)
    assert pictures == []
    np.testing.assert_array_equal(whole[0].maps, bare[0].maps)
    single, _ = read(model, settings, batch_size=1)
    np.testing.assert_allclose(whole[1].maps, single[1].maps, atol=1e-6)


def test_steps_are_averaged(tiny_model: Models) -> None:
    model = tiny_model("flux")
    settings = settings_of(model, steps=2)
    both, first, second = (read(model, settings, steps=steps)[0][0].maps for steps in (None, [0], [1]))
    np.testing.assert_allclose(both, (first + second) / 2, atol=1e-7)
    assert np.abs(first - second).max() > 1e-6


@pytest.mark.parametrize("name", ["sd", "flux", "sd3", "pixart"])
def test_a_layer_gets_what_attended_in_its_step_so_far(
    tiny_model: Models, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, place = tiny_model(name), PLACES[name]
    settings, hooks = settings_of(model, steps=2), hooks_on(model)
    layers = list_layers(model, settings.size)
    got: list[tuple[Layer, int, int, list[WordMaps]]] = []
    with watching(model, place.modules, monkeypatch) as seen:
        request = WordRequest(
            WordReader(model.description, settings.max_sequence_length),
            lambda *_: None,
            layers=layers,
            at_layer=lambda layer, step, maps: got.append((layer, step, len(seen), list(maps))),
        )
        list(generate(model, JOBS, settings, Capture([], [], lambda _: None, request)))
    # PNDM runs the U-Net of sd three times in two steps, and the second time only corrects.
    runs = 3 if name == "sd" else 2
    first = {0: 0, 1: len(seen) // runs * (runs - 1)}
    assert {(layer, step) for layer, step, _, _ in got} == {(layer, step) for layer in layers for step in (0, 1)}
    assert len({end for _, _, end, _ in got}) > 2, "the layers lie at several depths"
    for _, step, end, maps in got:
        for job, of in enumerate(maps):
            for word, heat in zip(of.words, of.maps, strict=True):
                expected = by_hand(model, place, seen[first[step] : end], job, word.text)
                np.testing.assert_allclose(heat, expected, atol=1e-6)
    assert hooks_on(model) == hooks


def test_a_layer_before_which_nothing_attends_to_the_text_has_no_maps(tiny_model: Models) -> None:
    model = tiny_model("sd")
    settings, got = settings_of(model, "sd", steps=2), []
    places: Any = [SimpleNamespace(hookpoint="unet.conv_in"), SimpleNamespace(hookpoint="unet.conv_out")]
    request = WordRequest(
        WordReader(model.description),
        lambda *_: None,
        layers=places,
        at_layer=lambda layer, step, _: got.append((layer.hookpoint, step)),
    )
    list(generate(model, JOBS, settings, Capture([], [], lambda _: None, request)))
    assert got == [("unet.conv_out", 0), ("unet.conv_out", 1)]


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_on_a_processor(tiny_model: Models, tiny_folder: Folders, name: str) -> None:
    """Projections run under autocast as the model's own do, and the rest in float32."""
    settings = settings_of(tiny_model(name), name, steps=2)
    half = load_model(str(tiny_folder(name)), device="cpu", dtype="bfloat16")
    (exact, _), (rounded, pictures) = read(tiny_model(name), settings), read(half, settings)
    for one, other in zip(exact.values(), rounded.values(), strict=True):
        assert other.maps.dtype == np.float32
        assert np.abs(one.maps - other.maps).max() < 0.05 * one.maps.max()
    plain = [np.asarray(p) for _, some in generate(half, JOBS, settings) for p in some]
    for bare, seen in zip(plain, pictures, strict=True):
        np.testing.assert_array_equal(bare, seen)


def test_hooks_go_and_nothing_is_handed_over_when_the_run_fails(
    tiny_model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("pixart")
    hooks = hooks_on(model)

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(model.pipeline.scheduler, "step", fail)
    with pytest.raises(KeyboardInterrupt):
        read(model, settings_of(model, steps=2))
    assert hooks_on(model) == hooks


def test_tokens_that_do_not_fit_the_call_are_an_error(tiny_model: Models) -> None:
    model = tiny_model("flux")
    settings = settings_of(model, steps=1)
    request = WordRequest(WordReader(model.description, 20), lambda *_: None)
    with pytest.raises(AutointerpError, match="to 28 text tokens at step 0, not from 64 to 20"):
        list(generate(model, JOBS, settings, Capture([], [], lambda _: None, request)))


def test_a_class_without_an_entry_has_no_word_maps(tiny_model: Models) -> None:
    import dataclasses

    from autointerp.diffusion.families import GenericFamily

    other = dataclasses.replace(tiny_model("sd").description, family=GenericFamily("OtherPipeline", "unet"))
    with pytest.raises(UsageError, match="OtherPipeline"):
        attention_of(other)


def test_another_grid() -> None:
    maps = WordMaps((Word("a", 0, 1),), np.arange(16, dtype=np.float32).reshape(1, 4, 4))
    np.testing.assert_allclose(maps.at((2, 2))[0], [[2.5, 4.5], [10.5, 12.5]])
    assert maps.at((4, 4)) is maps.maps
    finer = maps.at((8, 8))
    assert finer.shape == (1, 8, 8)
    assert finer.min() >= 0, "bicubic interpolation overshoots below 0 here"
    assert WordMaps((), np.zeros((0, 4, 4), np.float32)).at((2, 2)).shape[0] == 0


def test_normalized() -> None:
    given = np.array([[[1.0, 3.0], [2.0, 1.0]], [[5.0, 5.0], [5.0, 5.0]]])
    np.testing.assert_allclose(normalized(given), np.array([[[0, 1], [0.5, 0]], [[0, 0], [0, 0]]]))
    assert normalized(np.zeros((0, 2, 2))).shape == (0, 2, 2)


def test_a_word_that_is_said_twice_is_joined() -> None:
    words = (Word("Red", 0, 3), Word("the", 4, 7), Word("red", 8, 11))
    maps = np.array([[[1.0, 0.0]], [[9.0, 9.0]], [[0.0, 2.0]]], np.float32)
    names, heat = joined(WordMaps(words, maps), drop={"the"})
    assert names == ["red"]
    np.testing.assert_array_equal(heat, [[[1.0, 2.0]]])
    assert joined(WordMaps((), np.zeros((0, 1, 2), np.float32)))[1].shape == (0, 1, 2)


def test_a_prompt_without_words(tiny_model: Models) -> None:
    model = tiny_model("sd")
    found: list[WordMaps] = []
    request = WordRequest(WordReader(model.description), lambda _, maps: found.append(maps))
    jobs = [ImageJob(0, "", 1), ImageJob(1, "red", 2)]
    list(generate(model, jobs, settings_of(model, steps=1), Capture([], [], lambda _: None, request), decode=False))
    assert [len(one.maps) for one in found] == [0, 1]
