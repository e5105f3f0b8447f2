"""The README's conversation with the codec gives what it shows."""

import doctest
from pathlib import Path

import ppcd.smpp


def test_the_readme_shows_what_the_codec_gives() -> None:
    readme = Path(ppcd.smpp.__file__).with_name("README.md")
    failed, tried = doctest.testfile(str(readme), module_relative=False, encoding="utf-8")
    assert tried > 10
    assert failed == 0
