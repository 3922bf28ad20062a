"""The ``torch2triton`` command line: a group that imports a command only when it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from builder import __version__
from builder.cli.lazy import LazyGroup

#: Command to the line of ``--help`` that says what it does; each is ``command`` of its module.
COMMANDS = {
    "build": "Make random programs and write the verified pairs as a data set.",
    "convert": "Do the same for your own PyTorch modules.",
    "mutate": "Write edited versions of programs, for people to look at.",
    "verify": "Verify the pairs of a data set again, from their text alone.",
    "inspect": "Show pairs: program and Triton side by side, with the verdict.",
    "push": "Upload a data set to the Hugging Face Hub.",
    "bench": "Measure the executor and the verifier themselves.",
    "doctor": "Say what this machine has, and what to do about what is missing.",
}

_EPILOG = """\b
Example:
  torch2triton build --pairs 60 --out data/demo --seed 0
"""


@click.command(
    "torch2triton",
    cls=LazyGroup,
    package=__name__,
    summaries=COMMANDS,
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
