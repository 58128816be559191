"""One label of several: a feature's clusters of crops are named by themselves, and their names are merged."""

from __future__ import annotations

from collections.abc import Sequence

from autointerp.labeling.protocol import LabelResult


def merged(named: Sequence[LabelResult], sizes: Sequence[int]) -> LabelResult:
    """Merge the results of a feature's clusters into one.

    Clusters of the same name are one meaning. A feature of several meanings is polysemantic, which its explanation
    says. A cluster without an answer leaves the feature without one: otherwise its meaning would be missing.

    Args:
        named: The result of each cluster.
        sizes: The number of crops of each cluster.
    """
    for missing in ("waiting", "failed"):
        if (found := next((result for result in named if result.status == missing), None)) is not None:
            return found
    shares: dict[str, float] = {}
    first: dict[str, LabelResult] = {}
    for result, size in sorted(zip(named, sizes, strict=True), key=lambda one: -one[1]):
        if result.status == "ok":
            shares[result.name.casefold()] = shares.get(result.name.casefold(), 0.0) + size / sum(sizes)
            first.setdefault(result.name.casefold(), result)
    if len(first) < 2:
        return next(iter(first.values()), named[0])
    told = "; ".join(f"{first[name].name} ({share:.0%} of the crops)" for name, share in shares.items())
    return LabelResult(
        named[0].feature_id,
        "ok",
        "; ".join(result.name for result in first.values()),
        f"Polysemantic: {told}.",
        round(sum(share * first[name].confidence for name, share in shares.items()), 4),
    )
