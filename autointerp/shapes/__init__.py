"""The embedded world: scenes with ground truth, the models trained on them, and what reads them."""
