"""Runs the quickstart: `python -m examples.movielens`."""

import sys

from . import quickstart

if __name__ == "__main__":
    sys.exit(quickstart.main())
