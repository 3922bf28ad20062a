"""The data set card: ``README.md`` with the front matter that the Hub and ``datasets`` read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.dataset.schema import COLUMNS, REJECTION_COLUMNS, Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Tag by which a card made by this package is recognised.
TAG = "torch2triton"

# Licences whose SPDX identifier, in lower case, is the Hub's own name for them.
_HUB_LICENSES = {
    "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-4.0", "cc-by-nc-4.0",
    "cc-by-sa-4.0", "cc0-1.0", "isc", "mit", "mpl-2.0", "unlicense", "zlib",
}  # fmt: skip

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_FRONT_MATTER = """\
---
license: {license}
task_categories:
- text-generation
language:
- code
tags:
- {tag}
- triton
- pytorch
- gpu-kernels
- code
size_categories:
- {size}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
{rejections}---
"""

# `datasets` cannot load a configuration of no rows, so it is named only where there are some.
_REJECTIONS_CONFIG = """\
- config_name: rejections
  data_files:
  - split: train
    path: rejections/rejections-*
"""

_INTRODUCTION = """\
# PyTorch programs and the verified Triton that computes the same

{pairs} of a PyTorch program (`python_code`) and a standalone Triton module (`triton_code`)
that computes the same, for training, evaluating and rewarding models that write GPU kernels. Built
with torch2triton {builder}, PyTorch {torch} and Triton {triton}.

```python
from datasets import load_dataset

pairs = load_dataset("OWNER/NAME", split="train")
```

`triton_code` needs only `torch` and `triton`. For a class `Model` in `python_code` it defines
`ModelNew`, with the same constructor, the same `state_dict` and the same `forward`. Where a row is
`stochastic`, `forward` also takes a `seed` that its random numbers follow from; without one it is
that of torch's generator.

## How a pair is verified

Each pair's own text ran in a fresh process on several input draws. The Triton kernels ran
instruction by instruction from the compiler's TTIR and gave what the program gives: a
float output's error against a float64 reference is at most twice that of PyTorch eager or a floor
documented for the operation and type; discrete outputs are equal. Outputs were poisoned before each
run, memory accesses checked, and inputs left alone unless the program changes them.
Every kernel compiles for each of `compiled_targets` within that GPU's limits. Where `shape_generic`
is true, the kernels take their sizes as arguments and were compared on the program's shape variants
and on other shapes: sizes of one, odd ones, and larger than any that is declared. What did not pass
is no pair: it is a row of the configuration `rejections`, with stage, kind and message.
"""


_COUNTS = """\
## Counts

{count:,} verified, {generic:,} of them for any size; {rejected:,} rejected.
"""


_TRAINING = """\
## Training pairs

Rows whose `mode` is `training` compute gradients, too: `forward` is one
`torch.autograd.Function`. Differentiated are the parameters and the inputs that `get_inputs`
returns with `requires_grad`. Their gradients, for random upstream gradients of every output, were
compared like outputs.
"""


def render_card(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    """The card of a data set; a function of its rows and summary, with no time, host or path.

    Args:
        rows: the rows, in order.
        summary: of ``summarise``.
    """
    first = rows[0] if rows else {}
    count = len(rows)
    generic = sum(bool(row["shape_generic"]) for row in rows)
    rejected = sum(sum(kinds.values()) for kinds in summary["rejections"].values())
    parts = [
        _FRONT_MATTER.format(
            license=_license(rows),
            tag=TAG,
            size=_size(count),
            rejections=_REJECTIONS_CONFIG if rejected else "",
        ),
        _INTRODUCTION.format(
            pairs="1 pair" if count == 1 else f"{count:,} pairs",
            **{name: first.get(f"{name}_version", "-") for name in ("builder", "torch", "triton")},
        ),
        _TRAINING if any(row["mode"] == "training" for row in rows) else "",
        _COUNTS.format(count=count, generic=generic, rejected=rejected),
        _table(("family", "pairs"), summary["families"]),
        _table(("kernel kind", "pairs with it"), summary["kernel_kinds"]),
        _rejections(summary["rejections"]),
        f"## Columns\n\n{_columns(COLUMNS)}",
        f"Columns of `rejections`:\n\n{_columns(REJECTION_COLUMNS)}",
    ]
    return "\n".join(filter(None, parts))


def _license(rows: Sequence[Mapping[str, Any]]) -> str:
    """The Hub's name of the one licence of all rows; ``other`` where there is none."""
    licenses = {row["license"].lower() for row in rows} or {"apache-2.0"}
    return licenses.pop() if len(licenses) == 1 and licenses <= _HUB_LICENSES else "other"


def _size(count: int) -> str:
    return next((name for limit, name in _SIZES if count < limit), "n>1M")


def _table(titles: tuple[str, ...], counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    return _markdown(titles, [(f"`{name}`", f"{count:,}") for name, count in counts.items()])


def _rejections(stages: Mapping[str, Mapping[str, int]]) -> str:
    lines = [
        (stage, f"`{kind}`", f"{count:,}")
        for stage, kinds in stages.items()
        for kind, count in kinds.items()
    ]
    return _markdown(("stage", "kind", "rejections"), lines) if lines else ""


def _columns(columns: Sequence[Column]) -> str:
    lines = [(f"`{column.name}`", str(column.type), column.description) for column in columns]
    return _markdown(("column", "type", "content"), lines)


def _markdown(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
