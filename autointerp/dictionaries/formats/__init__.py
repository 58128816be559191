"""Other tools' dictionaries: a module a tool, and one table of them in `detect`."""
