"""From sparse codes to crops: what a harvest keeps of each feature, and how it looks."""
