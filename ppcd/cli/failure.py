"""How a command says that it can't: lines for standard error, and an exit code."""

from typing import Final

FAILED: Final = 1
USAGE: Final = 2


class Failed(Exception):
    """Ends the command; each line says what is wrong and what to do."""

    def __init__(self, *lines: str, exit_code: int = FAILED) -> None:
        super().__init__(*lines)
        self.lines = lines
        self.exit_code = exit_code
