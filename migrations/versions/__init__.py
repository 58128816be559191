"""The revisions, oldest first; ids count up."""
