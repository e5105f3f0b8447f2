"""The bar: only where a terminal shows it, only for what takes a while."""

import io

from ppcd.cli.progress import Progress


class Terminal(io.StringIO):
    def __init__(self, *, tty: bool = True) -> None:
        super().__init__()
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


def test_what_takes_long_is_shown_on_a_terminal_and_wiped_away() -> None:
    now = [0.0]
    terminal = Terminal()
    with Progress("reading", output=terminal, clock=lambda: now[0]) as progress:
        progress.at(1, 4)
        assert terminal.getvalue() == ""
        now[0] = 2.1
        progress.at(1, 4)
        assert "reading [########" in terminal.getvalue()
        assert "25%" in terminal.getvalue()
        shown = terminal.getvalue()
        progress.at(2, 4)  # not for each of millions
        assert terminal.getvalue() == shown
        progress.begins("comparing")
        assert "comparing …" in terminal.getvalue()
        now[0] = 3.0
        progress.at(7)
        assert "comparing 7" in terminal.getvalue()
    assert terminal.getvalue().endswith(" \r")


def test_a_log_and_what_is_done_at_once_get_no_bar() -> None:
    for terminal, seconds in ((Terminal(tty=False), 60.0), (Terminal(), 0.1)):
        now = [0.0]
        with Progress("reading", output=terminal, clock=lambda now=now: now[0]) as progress:
            now[0] = seconds
            progress.at(1, 4)
            progress.begins("comparing")
        assert terminal.getvalue() == ""
