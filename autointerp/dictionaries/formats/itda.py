"""ITDA in both layouts: `atoms.pt` and `atom_indices.pt` of the original; `xs` and `ys` of the one for Flux.

The original (arXiv 2505.17769) encodes by signed matching pursuit, the Flux one (arXiv 2505.24360) by non-negative
gradient pursuit. Neither says which image an atom is from.
"""

from __future__ import annotations

import torch

from autointerp.dictionaries.formats.configuration import Configuration, is_of_shape
from autointerp.dictionaries.formats.imported import Imported, refuse
from autointerp.dictionaries.formats.places import listed
from autointerp.dictionaries.formats.source import AGAIN, Source, Tensors
from autointerp.dictionaries.itda import ITDA
from autointerp.dictionaries.normalize import Normalization
from autointerp.errors import AutointerpError, UsageError

NAME = "itda"
_UNIT = 1e-2
"""How far an atom's length may be from 1 for rounding to explain it."""


def detect(source: Source) -> bool:
    """A matrix of atoms with as many pairs of indices, or the tensors `xs` and `ys`."""
    return source.tensors("xs", "ys") is not None or _atoms(source) is not None


def read(source: Source, k: int | None = None) -> Imported:
    """Read either layout.

    Raises:
        AutointerpError: As `Format.read`; transcoders and skip connections are refused.
    """
    tensors = source.tensors("xs", "ys")
    return _read_original(source, k) if tensors is None else _read_flux(source, tensors, k)


def _atoms(source: Source) -> torch.Tensor | None:
    singles = source.singles()
    pairs = [
        (path, other)
        for path, atoms in singles.items()
        for other, indices in singles.items()
        if atoms.dim() == 2 and atoms.is_floating_point() and indices.dtype == torch.int64
        if tuple(indices.shape) == (len(atoms), 2)
    ]
    matrices = dict.fromkeys(path.name for path, _ in pairs)
    if len(matrices) > 1:
        raise UsageError(
            f"{source.asked} holds several matrices of atoms: {listed(matrices)}", "leave only one of them there"
        )
    if not pairs:
        return None
    source.use(*pairs[0])
    return singles[pairs[0][0]]


def _read_original(source: Source, k: int | None) -> Imported:
    atoms = _atoms(source)
    if atoms is None:
        refuse(source, "no ITDA dictionary", "it has atoms.pt and atom_indices.pt, or xs and ys")
    notes: list[str] = []
    settings = Configuration(source.asked, source.yaml, notes)
    if not source.yaml:
        notes.append("no metadata.yaml is there")
    found, d_in = Tensors(source.folder, {"atoms": atoms}), atoms.shape[1]
    atoms = found.take("atoms", len(atoms), d_in)
    if not is_of_shape(settings["activation_dim"], d_in):
        refuse(source, f"its atoms are {d_in} wide, metadata.yaml says otherwise", "fetch both again")
    atoms, more = _unit(source, atoms)
    notes += more
    notes.append("encoded by signed matching pursuit, as the original does: two latents an atom, one for each sign")
    zero, one = torch.zeros(d_in), torch.ones(d_in)
    itda = ITDA(atoms, Normalization.scaled(zero, one), settings.needed_k(settings["k"], k, len(atoms)), "matching")
    hookpoint, model = settings["submodule_name"], settings["lm_name"]
    return Imported(itda, hookpoint or None, model=model, notes=tuple(notes))


def _read_flux(source: Source, tensors: Tensors, k: int | None) -> Imported:
    notes: list[str] = []
    config = Configuration(
        source.asked, source.config("target_l0") or source.needed_config("dictionary_size") or {}, notes
    )
    rows, d_in = tensors.matrix("xs")
    size = config.count("dictionary_size")
    if size is None:
        refuse(
            source,
            "no cfg.json says its dictionary_size, and rows after the last atom are unused memory",
            "fetch the cfg.json that lay beside it",
        )
    if size > rows or not is_of_shape(config["d_model"], d_in):
        refuse(source, f"xs is [{rows}, {d_in}], cfg.json says otherwise", "fetch both again")
    if config.flag("skip_connection", False):
        refuse(source, "an ITDA with a skip connection cannot be imported", "grow one without")
    notes += [f"{rows - size} rows after the last atom are unused memory and are left out"] if size < rows else []
    # Rows past the last atom are memory that was never written: only the others are looked at.
    used = {"xs": tensors.found["xs"][:size], "ys": tensors.found["ys"][:size]}
    tensors = Tensors(tensors.path, {**tensors.found, **used})
    atoms, targets = tensors.take("xs", size, d_in), tensors.take("ys", size, d_in)
    if not torch.allclose(atoms, targets, atol=1e-5):
        refuse(
            source, "its ys differ from its xs: a transcoder cannot be imported", "import one that rebuilds its input"
        )
    mean, std = torch.zeros(d_in), torch.ones(d_in)
    if "std_x" in tensors:
        std = tensors.take("std_x", d_in)
        if bool((std <= 0).any()):
            raise AutointerpError(f"{tensors.path}: std_x holds values that are not positive", AGAIN)
        if not torch.allclose(std, torch.ones(d_in)):
            notes.append("activations are divided by std_x first, as its notebooks do")
    if config.flag("subtract_mean", False, "no mean is subtracted"):
        mean = tensors.take("mean_x", d_in) * std
    atoms, more = _unit(source, atoms)
    notes += more
    notes.append("encoded by our gradient pursuit, which shortens a step where clipping makes it too long")
    steps = config.needed_k(config["target_l0"], k, size, "target_l0")
    itda = ITDA(atoms, Normalization.scaled(mean, std), steps, "exact")
    return Imported(itda, notes=tuple(notes))


def _unit(source: Source, atoms: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
    """The atoms with length 1, which pursuit counts on."""
    norm = atoms.norm(dim=1)
    if bool((norm == 0).any()):
        refuse(source, "an atom is zero", AGAIN)
    far = bool(((norm - 1).abs() > _UNIT).any())
    return atoms / norm[:, None], ["atoms are scaled to length 1"] if far else []
