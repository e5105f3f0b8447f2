"""Prints docs/metrics.md."""

import sys

from ppcd.metrics.reference import reference

sys.stdout.write(reference())
