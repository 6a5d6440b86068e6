"""`python -m metadescent …`: the command line."""

from metadescent.cli import main

if __name__ == "__main__":
    main()
