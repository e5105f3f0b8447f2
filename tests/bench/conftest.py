"""The benchmarks are scripts, no package of the product: their directory is put on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
