"""`make interop`: what other libraries load and save agrees with what we do, in both directions.

One virtual environment a library, made once in `interop/.venvs` with the pinned versions of `interop/requirements`.
Their scripts (`interop/theirs`) run in it and know nothing of autointerp; this one runs in ours and knows nothing of
theirs; files go between. Exits with 1 where a code or a rebuilt activation differs by more than 1e-5.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import site
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from autointerp.dictionaries.baselines import PCA, RandomDirections
from autointerp.dictionaries.formats.detect import WRITTEN, read_format, write_format
from autointerp.dictionaries.formats.source import Source
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import Dictionary, SparseCode
from autointerp.dictionaries.sae import BatchTopK, Gated, JumpReLU, ReLU, TopK
from autointerp.dictionaries.transcoders import Transcoder

HERE = Path(__file__).parent
LIBRARIES = {
    # name -> (its script, our name of its format, -k where its files do not hold it)
    "sae-lens": ("with_sae_lens", "saelens", None),
    "eai-sparsify": ("with_sparsify", "sparsify", None),
    "dictionary-learning": ("with_dictionary_learning", "dictionary-learning", None),
    "overcomplete": ("with_overcomplete", "overcomplete", 8),
    "orbax": ("with_orbax", "flux1-saes", 8),
}
LENT = ("orbax",)
"""Environments whose packages the reading of the files needs too, as the extra of that name brings them."""
TOLERANCE = 1e-5
D, N, K, ROWS = 64, 256, 8, 256


def environment(library: str, root: Path) -> Path:
    """The library's own interpreter; its environment is made again when its requirements change."""
    pins = HERE / "requirements" / f"{library}.txt"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    folder = root / library
    stamp, python = folder / "requirements.sha256", folder / "bin" / "python"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"{library}: making its environment", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    torch_pin = next(line for line in pins.read_text().split() if line.startswith("torch=="))
    subprocess.run([*pip, "-c", str(pins), torch_pin], check=True)
    # The rest without dependencies: the list holds all that is imported, and nothing that is only named.
    subprocess.run([*pip, "--no-deps", "-r", str(pins)], check=True)
    stamp.write_text(wanted)
    return python


def ask(python: Path, script: str, command: str, folder: Path) -> None:
    """Run a library's script in its environment."""
    path = HERE / "theirs" / f"{script}.py"
    subprocess.run([str(python), "-W", "ignore", str(path), command, str(folder)], check=True)


def dense(code: SparseCode, n: int) -> torch.Tensor:
    """A code as [rows, n]."""
    return torch.zeros(len(code.latent_acts), n).scatter_add_(1, code.latent_indices, code.latent_acts)


def sparse(acts: torch.Tensor) -> SparseCode:
    """Dense codes [rows, n] as ours."""
    best = acts.topk(max(1, int((acts > 0).sum(1).max())), dim=1)
    return SparseCode(best.values, best.indices)


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference, over the size of what is compared where that is above 1."""
    if found.shape != wanted.shape:
        return float("inf")
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1))


def samples() -> dict[str, Dictionary]:
    """One of each kind that some format can express."""
    torch.manual_seed(5)
    four = (torch.randn(D, N) / D**0.5, torch.randn(N) * 0.3, torch.randn(N, D) / D**0.5, torch.randn(D) * 0.3)
    normal = Normalization.scaled(torch.randn(D), torch.rand(D) + 0.5)
    return {
        "topk": TopK(*four, K),
        "batchtopk": BatchTopK(*four, K, torch.tensor(0.7)),
        "jumprelu": JumpReLU(*four, None, torch.rand(N)),
        "relu": ReLU(*four, None),
        "gated": Gated(*four, None, r_mag=torch.randn(N) * 0.2, b_mag=torch.randn(N) * 0.3),
        "random": RandomDirections.draw(normal, N, K, 1),
        "pca": PCA.measure(torch.randn(500, D), 2 * D, K),
    }


def imports(library: str, python: Path, folder: Path) -> list[tuple[str, float, float]]:
    """Their files, read by us: (case, difference of codes, difference of what is rebuilt from theirs)."""
    script, form, k = LIBRARIES[library]
    ask(python, script, "write", folder)
    if library in LENT:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site.addsitedir(str(python.parent.parent / "lib" / version / "site-packages"))
    rows = []
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        wanted = load_file(folder / f"{path.name}.safetensors")
        name, found = read_format(Source(path), k=None if path.name == "jump" else k)
        assert name == form, f"{path} was taken for {name}"
        dictionary = found.dictionary
        acts = dense(dictionary.encode(wanted["x"]), dictionary.num_latents)
        code = sparse(wanted["acts"])
        if isinstance(dictionary, Transcoder):
            rebuilt = dictionary.transcode(wanted["x"], code)
        else:
            rebuilt = dictionary.decode(code)
        rows.append((path.name, difference(acts, wanted["acts"]), difference(rebuilt, wanted["rebuilt"])))
    return rows


def exports(library: str, python: Path, folder: Path) -> list[tuple[str, float, float]]:
    """Our files, read by their loader: the same figures."""
    script, form, _ = LIBRARIES[library]
    if form not in WRITTEN:
        return []
    ours = {}
    for kind, dictionary in samples().items():
        if kind not in WRITTEN[form]:
            continue
        (folder / kind).mkdir(parents=True)
        provenance = {"model": "m", "hookpoint": "transformer.transformer_blocks.1", "signal": "output", "steps": [0]}
        write_format(dictionary, form, folder / kind, provenance)
        x = torch.randn(ROWS, D, generator=torch.Generator().manual_seed(11)) * 2
        code = dictionary.encode(x)
        ours[kind] = {"x": x, "acts": dense(code, dictionary.num_latents), "rebuilt": dictionary.decode(code)}
        save_file({name: t.contiguous() for name, t in ours[kind].items()}, folder / f"{kind}.safetensors")
    ask(python, script, "read", folder)
    rows = []
    for kind, wanted in ours.items():
        theirs = load_file(folder / f"{kind}.answer.safetensors")
        rows.append((kind, *(difference(theirs[name], wanted[name]) for name in ("acts", "rebuilt"))))
    return rows


def prove(library: str, root: Path) -> int:
    """Both directions for one library, a line a case; returns how many failed."""
    began = time.monotonic()
    python = environment(library, root)
    version = (HERE / "requirements" / f"{library}.txt").read_text().split()[0]
    with tempfile.TemporaryDirectory() as scratch:
        done = {
            "theirs -> ours": imports(library, python, Path(scratch) / "theirs"),
            "ours -> theirs": exports(library, python, Path(scratch) / "ours"),
        }
    print(f"{version}  ({time.monotonic() - began:.0f} s)", flush=True)
    failed = 0
    for direction, rows in done.items():
        for case, codes, rebuilt in rows:
            wrong = not max(codes, rebuilt) <= TOLERANCE
            failed += wrong
            print(f"  {direction}  {case:24} codes {codes:.1e}  rebuilt {rebuilt:.1e}{'  FAILED' if wrong else ''}")
    return failed


def main() -> int:
    """Prove every library asked for; 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("libraries", nargs="*", default=list(LIBRARIES), help=", ".join(LIBRARIES))
    parser.add_argument("--venvs", type=Path, default=HERE / ".venvs", help="where the environments lie")
    given = parser.parse_args()
    failed = 0
    for library in given.libraries:
        try:
            failed += prove(library, given.venvs)
        except subprocess.CalledProcessError as error:
            failed += 1
            print(f"{library}: FAILED: {' '.join(map(str, error.cmd))} ended with {error.returncode}")
    print(f"{failed} cases failed" if failed else f"all agree to {TOLERANCE:g}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
