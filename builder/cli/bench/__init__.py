"""``torch2triton bench``: a group of measurements, each a module of this package."""

from __future__ import annotations

import click

from builder.cli.lazy import LazyGroup

COMMANDS = {
    "capture": "Count the operators of PyTorch that become verified Triton.",
    "executor": "Time kernels on the executor and under Triton's interpreter.",
    "fidelity": "Compare kernels for a described GPU with those of a real one.",
    "programs": "Measure how valid, different and realistic random programs are.",
    "rewrite": "Measure how readable a data set's Triton is, and that it is still right.",
    "verifier": "Count the faults that verification finds, and its false alarms.",
}

_EPILOG = """\b
Examples:
  torch2triton bench capture --only addmm
  torch2triton bench executor --only matmul
  torch2triton bench verifier --data data/demo --mutants 600 --verifications 240
"""


@click.command("bench", cls=LazyGroup, package=__name__, summaries=COMMANDS, epilog=_EPILOG)
def command() -> None:
    """Measure programs, capture, rewriting, the executor and the verifier themselves."""
