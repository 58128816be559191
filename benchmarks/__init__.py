"""How fast the parts are that must be fast, each against something else timed beside it in the same run."""
