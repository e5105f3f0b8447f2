"""The configuration: one YAML file, checked whole, frozen, and handed down.

Owns how a file is read and what is said about its mistakes, and the sections of no single
package. Each other section is its package's own model. Refuses to know what anything is used for.
"""

from ppcd.config.changes import changes
from ppcd.config.document import ConfigurationError, Problem
from ppcd.config.load import load
from ppcd.config.secret import Secret
from ppcd.config.settings import Settings

__all__ = ["ConfigurationError", "Problem", "Secret", "Settings", "changes", "load"]
