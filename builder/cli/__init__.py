"""The ``torch2triton`` command line: a group that imports a command only when it runs."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import click

from builder import __version__

#: Command to the line of ``--help`` that says what it does; each is ``command`` of its module.
COMMANDS = {
    "build": "Make random programs and write the verified pairs as a data set.",
    "convert": "Do the same for your own PyTorch modules.",
    "verify": "Verify the pairs of a data set again, from their text alone.",
    "inspect": "Show pairs: program and Triton side by side, with the verdict.",
    "push": "Upload a data set to the Hugging Face Hub.",
    "doctor": "Say what this machine has, and what to do about what is missing.",
}

_EPILOG = """\b
Example:
  torch2triton build --pairs 60 --out data/demo --seed 0
"""


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    "torch2triton",
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="torch2triton")
def group() -> None:
    """Build data sets of PyTorch programs and the verified Triton that computes the same."""


def main() -> None:
    """Entry point of the ``torch2triton`` command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - until the end
    group(prog_name="torch2triton")
