"""dictionary_learning: its own classes and their `from_pretrained`. The package's `__init__` wants an old nnsight."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from exchange import D, K, N, answer, bare, cases, main, randomize, state

bare("dictionary_learning")
from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK

CLASSES = {
    c.__name__: c
    for c in (
        AutoEncoder,
        AutoEncoderNew,
        AutoEncoderTopK,
        BatchTopKSAE,
        MatryoshkaBatchTopKSAE,
        JumpReluAutoEncoder,
        GatedAutoEncoder,
    )
}


def _save(folder: Path, case: str, name: str, content: object) -> None:
    (folder / case).mkdir()
    torch.save(content, folder / case / "ae.pt")
    trainer = {"dict_class": name, "activation_dim": D, "dict_size": N, "k": K, "lm_name": "m", "submodule_name": None}
    (folder / case / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"io": "out"}}))


def write(folder: Path) -> None:
    """Every class as its trainer saves it, and a file saved in the midst of training."""
    arguments = {
        "AutoEncoderTopK": {"k": K},
        "BatchTopKSAE": {"k": K},
        "MatryoshkaBatchTopKSAE": {"k": K, "group_sizes": [N // 4, 3 * N // 4]},
    }
    for name, cls in CLASSES.items():
        ae = cls(D, N, **arguments.get(name, {}))
        randomize(ae, 1)
        if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
            ae.threshold = torch.tensor(0.7)
        _save(folder, name, name, ae.state_dict())
        loaded = cls.from_pretrained(folder / name / "ae.pt")
        state(folder, name, loaded.encode, loaded.decode)
    ae = BatchTopKSAE(D, N, K)
    randomize(ae, 2)
    ae.threshold = torch.tensor(0.7)
    config = {"dict_class": "BatchTopKSAE", "k": K}
    _save(folder, "midway", "BatchTopKSAE", {"step": 3, "ae": ae.state_dict(), "config": config, "norm_factor": 2.5})
    ae.scale_biases(2.5)  # What its trainer does before it saves the finished one.
    state(folder, "midway", ae.encode, ae.decode)


def read(folder: Path) -> None:
    """Our exports through the `from_pretrained` that their configuration names."""
    for case, path, x, acts in cases(folder):
        trainer = json.loads((path / "config.json").read_text())["trainer"]
        ae = CLASSES[trainer["dict_class"]].from_pretrained(path / "ae.pt")
        answer(folder, case, ae.encode(x), ae.decode(acts))


main(write, read)
