"""What people look at, as frozen dataclasses that the command line, Python and a browser share."""
