"""A small dictionary in another tool's files, with labels beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from autointerp.export.rows import ExportRow, ExportScore, write_lines

D, N, K = 192, 24, 3


def saelens(folder: Path, d_in: int = D, hook: str | None = None, **own: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    W_dec = torch.nn.functional.normalize(torch.randn(N, d_in), dim=1)
    tensors = {"W_enc": W_dec.T.contiguous(), "b_enc": torch.zeros(N), "W_dec": W_dec, "b_dec": torch.zeros(d_in)}
    save_file(tensors, folder / "sae_weights.safetensors")
    metadata = {"sae_lens_version": "6.18.0", "hook_name": hook, **({"autointerp": own} if own else {})}
    config = {"d_in": d_in, "d_sae": N, "architecture": "topk", "k": K, "metadata": metadata}
    config |= {"apply_b_dec_to_input": True, "normalize_activations": "none", "rescale_acts_by_decoder_norm": False}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def labels(folder: Path) -> None:
    rows = [
        ExportRow(index=2, name="red circle", explanation="Fires on red circles.", status="ok", confidence=0.8),
        ExportRow(index=5, status="uninterpretable", labeler="clip"),
        ExportRow(
            index=7, name="blue", status="ok", labeler="clip", scores=(ExportScore(method="embedding", value=0.9),)
        ),
        ExportRow(index=9, status="failed", labeler="vlm"),
    ]
    write_lines(rows, folder / "labels.jsonl")


def one_line(done: Any, code: int, *said: str) -> None:
    assert done.code == code, done
    assert done.err.startswith("error: "), done
    assert done.err.count("\n") == 1, done
    assert done.out == "", done
    for words in said:
        assert words in done.err, done.err
