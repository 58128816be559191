"""What models are told, as versioned files, and the prompt sets that images are generated from."""
