"""Prints docs/configuration.md."""

import sys

from ppcd.config.reference import reference

sys.stdout.write(reference())
