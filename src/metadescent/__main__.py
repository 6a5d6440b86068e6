"""`python -m metadescent …`: the command line."""

from metadescent.cli import program

if __name__ == "__main__":
    program()
