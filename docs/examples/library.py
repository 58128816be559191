"""Look at a labeled workspace from Python, then use the bundle that was exported from it without the workspace.

autointerp label --layer mid
autointerp export --layer mid -o out/
python docs/examples/library.py autointerp-workspace out/ "red circle"
"""

import sys

from autointerp import LabeledDictionary, Workspace


def look(path: str, text: str) -> None:
    """Search a workspace, and look at what was found."""
    workspace = Workspace(path)
    for hit in workspace.search(text, count=5):
        print(f"{hit.feature}  {hit.name or 'no name'}  score {hit.score}")
        feature = workspace.feature(hit.feature)
        print(f"  fires in {feature.density:.1%} of cells, at most {feature.max_activation:.2f}")
        for score in feature.scores:
            print(f"  {score.method} {score.value}, from {score.ci_low} to {score.ci_high}")
        for strongest in feature.crops(role="top")[:1]:
            print(f"  most in: {strongest.prompt} (cell {strongest.cell}, activation {strongest.activation:.2f})")
            strongest.image(side=224).save(f"feature-{feature.index}.png")  # cut and outlined
            strongest.heat(side=224).save(f"feature-{feature.index}-heat.png")  # the whole picture
    workspace.close()


def use(path: str, text: str) -> None:
    """Encode activations with a bundle, and say what they mean."""
    labeled = LabeledDictionary.load(path)  # or "hf:OWNER/NAME"
    print(f"{labeled.provenance['model']} {labeled.provenance['hookpoint']}: {labeled.num_latents} features")
    for row in labeled.find(text, n=3):
        print(f"  {row.index}: {row.name}")
    # Raw activations of the layer, [n, d_in]; here the features' own directions stand in for them.
    acts = 20 * labeled.dictionary.directions[:4]
    code = labeled.encode(acts)
    for latents, strengths in zip(code.latent_indices.tolist(), code.latent_acts.tolist(), strict=True):
        said = [f"{labeled.label(i).name or i} {act:.1f}" for i, act in zip(latents, strengths, strict=True) if act]
        print("  " + ", ".join(said))


if __name__ == "__main__":
    WORKSPACE, BUNDLE, TEXT = sys.argv[1:4]
    look(WORKSPACE, TEXT)
    use(BUNDLE, TEXT)
