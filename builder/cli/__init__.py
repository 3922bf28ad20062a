"""The ``torch2triton`` command line."""

from __future__ import annotations


def main() -> None:
    """Entry point of the ``torch2triton`` command."""
