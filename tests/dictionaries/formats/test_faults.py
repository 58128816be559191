"""Every file that cannot be a dictionary here is one line with what to do; none of them runs code."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from autointerp.dictionaries.formats.detect import read_format
from autointerp.dictionaries.formats.source import Source
from autointerp.errors import AutointerpError, UsageError

D, N, K = 6, 20, 4


def saelens(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    tensors = {"W_enc": torch.randn(D, N), "b_enc": torch.zeros(N), "W_dec": torch.randn(N, D), "b_dec": torch.zeros(D)}
    save_file(tensors, folder / "sae_weights.safetensors")
    said = {"d_in": D, "d_sae": N, "architecture": "topk", "k": K, "metadata": {"sae_lens_version": "6.18.0"}}
    (folder / "cfg.json").write_text(json.dumps({**said, **config}))
    return folder


def wide_transcoder(folder: Path) -> Path:
    saelens(folder, architecture="transcoder", d_out=D + 2)
    return change(folder, W_dec=torch.randn(N, D + 2), b_dec=torch.zeros(D + 2))


def zhao(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    tensors = {"pre_bias": torch.zeros(D), "encoder.bias": torch.zeros(N)}
    tensors |= {"encoder.weight": torch.randn(N, D), "decoder.weight": torch.randn(D, N)}
    torch.save({"model_state_dict": tensors, "config": {"input_dim": D, "hidden_dim": N, **config}}, folder / "sae.pt")
    return folder


def sparsify(folder: Path, **config: Any) -> Path:
    saelens(folder)
    found = load_file(folder / "sae_weights.safetensors")
    tensors = {"encoder.weight": found["W_enc"].T.contiguous(), "encoder.bias": found["b_enc"]}
    save_file({**tensors, "W_dec": found["W_dec"], "b_dec": found["b_dec"]}, folder / "sae.safetensors")
    (folder / "sae_weights.safetensors").unlink()
    (folder / "cfg.json").write_text(json.dumps({"d_in": D, "k": K, "num_latents": N, **config}))
    return folder


def change(folder: Path, **tensors: torch.Tensor | None) -> Path:
    """The weights with some tensors changed, or left out."""
    path = next(folder.glob("*.safetensors"))
    found: dict[str, torch.Tensor | None] = {**load_file(path), **tensors}
    save_file({k: v for k, v in found.items() if v is not None}, path)
    return folder


class Trap:
    """What a pickle may hold: an object that does something on loading."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("sprung"),))


def module(folder: Path) -> Path:
    folder.mkdir()
    torch.save(torch.nn.Linear(2, 3), folder / "model.pt")
    return folder


def trap(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.pt").write_bytes(pickle.dumps(Trap()))
    return folder


def cut(folder: Path, name: str, share: float) -> Path:
    path = folder / name
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return folder


def cut_torch(folder: Path) -> Path:
    folder.mkdir()
    torch.save({"encoder.weight": torch.randn(50, 50)}, folder / "ae.pt")
    return cut(folder, "ae.pt", 0.5)


def text(folder: Path) -> Path:
    folder.mkdir()
    (folder / "ae.pt").write_text("dear diary")
    return folder


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def unknown(folder: Path) -> Path:
    folder.mkdir()
    save_file({"alpha": torch.ones(3)}, folder / "sae.safetensors")
    return folder


def several(folder: Path) -> Path:
    sparsify(folder / "layers.1")
    sparsify(folder / "layers.2")
    return folder


def learned(folder: Path) -> Path:
    folder.mkdir()
    names = {"encoder.weight": (N, D), "encoder.bias": (N,), "decoder.weight": (D, N), "b_dec": (D,)}
    torch.save({name: torch.zeros(shape) for name, shape in names.items()}, folder / "ae.pt")
    return folder


def saev(folder: Path, header: dict[str, Any]) -> Path:
    folder.mkdir()
    with (folder / "sae.pt").open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        torch.save(load_file(saelens(folder / "x") / "sae_weights.safetensors"), file)
    for path in (folder / "x").iterdir():
        path.unlink()
    (folder / "x").rmdir()
    return folder


def overcomplete(folder: Path, **more: torch.Tensor) -> Path:
    folder.mkdir()
    tensors = {"dictionary._weights": torch.randn(N, D), "dictionary.multiplier": torch.tensor(0.0)}
    linear = {"encoder.final_block.0.weight": torch.randn(N, D), "encoder.final_block.0.bias": torch.zeros(N)}
    torch.save({**tensors, **linear, **more}, folder / "model.pt")
    return folder


def flux_itda(folder: Path, same: bool = True, **config: Any) -> Path:
    folder.mkdir()
    xs = torch.nn.functional.normalize(torch.randn(16, D), dim=1)
    save_file({"xs": xs, "ys": xs.clone() if same else -xs}, folder / "sae.safetensors")
    said = {"d_model": D, "target_l0": 2, "dictionary_size": 10}
    (folder / "cfg.json").write_text(json.dumps({**said, **config}))
    return folder


LAYER_NORM = torch.ones(N)
FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a pickled module": (module, "could run code"),
    "a pickle that does something": (trap, "could run code"),
    "a safetensors file cut short": (lambda f: cut(saelens(f), "sae_weights.safetensors", 0.6), "cut short"),
    "a torch file cut short": (cut_torch, "cut short"),
    "a text that is no torch file": (text, "no file of torch"),
    "an empty folder": (empty, "holds no weights"),
    "nothing there": (lambda f: f, "no file or folder"),
    "an unknown format": (unknown, "of no known format"),
    "several dictionaries": (several, "layers.1, layers.2"),
    "values that are not numbers": (lambda f: change(saelens(f), b_enc=torch.full((N,), torch.nan)), "not finite"),
    "infinite values": (lambda f: change(saelens(f), W_dec=torch.full((N, D), torch.inf)), "not finite"),
    "a tensor left out": (lambda f: change(saelens(f), b_enc=None), "lacks the tensor b_enc"),
    "a tensor left out of sparsify": (lambda f: change(sparsify(f), b_dec=None), "lacks the tensor b_dec"),
    "a decoder of another size": (lambda f: change(saelens(f), W_dec=torch.ones(N, D + 1)), "W_dec is [20, 7]"),
    "an encoder that is no matrix": (lambda f: change(saelens(f), W_enc=torch.ones(N)), "no matrix"),
    "a configuration of another width": (lambda f: saelens(f, d_in=D + 1), "the configuration says otherwise"),
    "a configuration of another size": (lambda f: sparsify(f, num_latents=N + 1), "configuration says otherwise"),
    "no k": (lambda f: saelens(f, k=None), "do not say k"),
    "a k that is none": (lambda f: sparsify(f, k=-1), "positive whole number"),
    "a word for a k": (lambda f: sparsify(f, k="many"), "positive whole number"),
    "a skip transcoder without its skip": (lambda f: saelens(f, architecture="skip_transcoder"), "W_skip"),
    "a transcoder to another width": (lambda f: wide_transcoder(f), "from 6 to 8 dimensions"),
    "a transcoder of rows": (
        lambda f: saelens(f, architecture="transcoder", normalize_activations="layer_norm"),
        "by its own size",
    ),
    "another output width": (lambda f: saelens(f, d_out=D + 2), "topk with the tensors of a transcoder"),
    "rows normalised by their size": (lambda f: saelens(f, normalize_activations="layer_norm"), "layer_norm"),
    "rows rescaled": (lambda f: saelens(f, normalize_activations="constant_norm_rescale"), "constant_norm_rescale"),
    "a scaling factor out of place": (lambda f: change(saelens(f), scaling_factor=torch.ones(N) * 2), "finetuning"),
    "metadata that are none": (lambda f: saelens(f, metadata=[1, 2]), "not as saelens writes it"),
    "arguments that are none": (
        lambda f: saelens(f, metadata={}, activation_fn_str="topk", activation_fn_kwargs="many"),
        "not as saelens writes it",
    ),
    "groupmax": (lambda f: sparsify(f, activation="groupmax"), "groupmax"),
    "a skip connection": (lambda f: sparsify(f, skip_connection=True), "skip connection"),
    "standardised activations of zhao-flux": (lambda f: zhao(f, normalize_data=True), "standardised activations"),
    "other sizes of zhao-flux": (lambda f: zhao(f, hidden_dim=3), "the configuration says otherwise"),
    "a transcoder of sparsify": (lambda f: sparsify(f, transcode=True), "transcoder"),
    "a signed top-k": (lambda f: sparsify(f, signed=True), "signed"),
    "no k in dictionary_learning": (learned, "do not say k"),
    "a schema of saev to come": (lambda f: saev(f, {"schema": 9, "cfg": {}}), "schema 9"),
    "a top-k by absolute value": (
        lambda f: saev(f, {"schema": 4, "cfg": {"activation": {"cls": "AbsBatchTopK", "params": {"top_k": 3}}}}),
        "absbatchtopk",
    ),
    "overcomplete without k": (overcomplete, "give the top_k"),
    "overcomplete with layer norm": (
        lambda f: overcomplete(f, **{"encoder.final_block.1.weight": LAYER_NORM}),
        "normalises each row",
    ),
    "overcomplete with an MLP": (
        lambda f: overcomplete(f, **{"encoder.mlp_blocks.0.0.weight": torch.ones(D, D)}),
        "several layers",
    ),
    "a quantised SAE": (lambda f: overcomplete(f, Q=torch.ones(4)), "QSAE"),
    "an ITDA transcoder": (lambda f: flux_itda(f, same=False), "transcoder"),
    "an ITDA with a skip connection": (lambda f: flux_itda(f, skip_connection=True), "skip connection"),
    "an ITDA with too few rows": (lambda f: flux_itda(f, dictionary_size=17), "says otherwise"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_one_line_with_what_to_do(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, said = FAULTS[case]
    with pytest.raises(AutointerpError) as caught:
        read_format(Source(make(tmp_path / "a")))
    assert said in str(caught.value), str(caught.value)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert not Path("sprung").exists()


def test_a_format_that_was_named_must_be_it(tmp_path: Path) -> None:
    saelens(tmp_path / "a")
    with pytest.raises(AutointerpError, match="not of the format sparsify"):
        read_format(Source(tmp_path / "a"), "sparsify")
    with pytest.raises(UsageError, match="did you mean 'saelens'"):
        read_format(Source(tmp_path / "a"), "saelense")


def test_k_is_for_files_that_do_not_say(tmp_path: Path) -> None:
    saelens(tmp_path / "a", k=None)
    assert read_format(Source(tmp_path / "a"), k=3)[1].dictionary.k == 3
    saelens(tmp_path / "b")
    with pytest.raises(UsageError, match="says k 4, not 3"):
        read_format(Source(tmp_path / "b"), k=3)


def test_what_is_not_needed_may_be_broken(tmp_path: Path) -> None:
    """The state of a trainer beside the weights holds objects; it is left alone."""
    saelens(tmp_path / "a")
    torch.save(torch.nn.Linear(2, 3), tmp_path / "a" / "trainer_state.pt")
    (tmp_path / "a" / "broken.json").write_text("{")
    source = Source(tmp_path / "a")
    name, found = read_format(source)
    assert name == "saelens"
    assert "broken.json is left alone, as it cannot be read" in found.notes
    assert set(source.hashes()) == {"cfg.json", "sae_weights.safetensors"}


def test_words_that_are_none_are_not_taken(tmp_path: Path) -> None:
    saelens(tmp_path / "a", metadata={"sae_lens_version": "6.18.0", "hook_name": 5, "model_name": ["m"]})
    found = read_format(Source(tmp_path / "a"))[1]
    assert (found.hookpoint, found.signal, found.model) == (None, None, None)
