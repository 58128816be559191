"""What crops and prompts offer as evidence for a name."""
