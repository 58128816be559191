"""`claims`: published claims about features of diffusion models, tested where the truth is known."""
