"""The command line: `ppcd NOUN VERB`. Owns exit codes, help and error lines, and the reactor.

Each command's module is imported when it is called, so that `--help` is quick. Exit codes: 0 done,
1 failed, 2 wrong usage or configuration.
"""

from ppcd.cli.main import main as main
