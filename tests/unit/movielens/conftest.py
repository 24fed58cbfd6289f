"""Makes the examples importable: they are not installed, they lie beside the tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
