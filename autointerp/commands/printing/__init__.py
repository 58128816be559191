"""Views as tables and lines on stdout, for people; `--json` prints the same views for programs."""
