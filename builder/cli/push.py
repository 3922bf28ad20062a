"""``torch2triton push``: a data set to the Hugging Face Hub."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click
from huggingface_hub.utils import disable_progress_bars

from builder.cli.output import Output, with_output
from builder.dataset.push import push

_EPILOG = """\b
Example:
  HF_TOKEN=... torch2triton push data/demo my-name/triton-pairs --private
"""


@click.command("push", epilog=_EPILOG)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Make the new repository private.")
@with_output
def command(folder: Path, repo: str, *, private: bool, output: Output) -> None:
    """Upload the data set in DIR to the Hugging Face Hub as OWNER/NAME.

    The token comes from HF_TOKEN or the saved login (`hf auth login`) and is never shown.
    """
    if output.mode != "human" or not sys.stderr.isatty():
        disable_progress_bars()
    pushed = push(folder, repo, private=private)
    output.result(
        asdict(pushed),
        human=f'{pushed.url}\nload_dataset("{pushed.repo}")',
        quiet=pushed.url,
    )
