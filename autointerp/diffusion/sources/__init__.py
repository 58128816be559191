"""Sources of prompts and of real pictures."""
