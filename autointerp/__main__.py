"""`python -m autointerp`, the command line."""

from autointerp.cli import main

if __name__ == "__main__":
    main()
