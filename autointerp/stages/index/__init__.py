"""Stage `index`: vectors of crops, labels and decoder directions in FAISS files, kept in step with the database."""
