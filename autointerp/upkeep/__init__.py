"""Looking after a workspace: checking it, moving its rows, removing dictionaries."""
