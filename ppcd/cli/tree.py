"""What the tree of commands is made of."""

import argparse
from typing import Final, TypeAlias

CONFIG: Final = "/etc/ppcd/ppcd.yaml"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def command(
    commands: Commands, name: str, run: str, help_text: str, *, config: bool = True
) -> argparse.ArgumentParser:
    """A command, and the function that runs it, as `package.module.function`."""
    parser = commands.add_parser(name, help=help_text, description=help_text)
    parser.set_defaults(run=run)
    if config:
        parser.add_argument("--config", default=CONFIG, metavar="FILE", help="default: %(default)s")
    return parser


def group(commands: Commands, name: str, help_text: str) -> Commands:
    """Commands under one word."""
    parser = commands.add_parser(name, help=help_text, description=help_text)
    return parser.add_subparsers(metavar="COMMAND", required=True)


def json_option(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="one JSON document, for programs")
