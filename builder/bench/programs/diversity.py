"""Figures of how different programs are, and how like the ones that people run."""

from __future__ import annotations

import importlib.resources
import json
import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from builder.programs.structure import folded, is_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_FACTS = "op_trace_histogram.json"


def trace_counts() -> dict[str, int]:
    """How often real models call each forward ATen operator, in-place ones as what they fold to.

    From traces of 155 training runs of Hugging Face, timm and torchbench models, as tritonbench
    stores them; the file names its source.
    """
    text = importlib.resources.files("builder.programs.facts").joinpath(_FACTS).read_text()
    counts: Counter[str] = Counter()
    for name, calls in json.loads(text)["op_calls"].items():
        operator = name.split(".")[1]
        if "backward" not in operator:
            counts[folded(operator)] += calls
    return dict(counts)


def comparable(calls: Mapping[str, int], traces: Mapping[str, int]) -> dict[str, int]:
    """Calls without the views that the traces leave out; they note hardly any."""
    return {name: n for name, n in calls.items() if name in traces or not is_view(name)}


def divergence(ours: Mapping[str, int], theirs: Mapping[str, int]) -> float:
    """The Jensen-Shannon divergence of two histograms, base 2: 0 for equal ones, at most 1."""
    sums = sum(ours.values()), sum(theirs.values())
    if not all(sums):
        return 1.0
    total = 0.0
    for name in {*ours, *theirs}:
        p, q = ours.get(name, 0) / sums[0], theirs.get(name, 0) / sums[1]
        middle = (p + q) / 2
        total += sum(part / 2 * math.log2(part / middle) for part in (p, q) if part)
    return total


def trigram_entropy(sequences: Iterable[Sequence[str]]) -> float:
    """The entropy, in bits, of three operators that are called one after the other."""
    counts = Counter(
        tuple(calls[start : start + 3])
        for calls in sequences
        for start in range(max(0, len(calls) - 2))
    )
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values())


def vendi(sets: Sequence[Iterable[tuple[str, str]]]) -> float:
    """The effective number of different programs, by their sets of operator pairs.

    The exponential of the entropy of the eigenvalues of the cosine similarities, divided by how
    many there are (Friedman and Dieng, "The Vendi Score", 2023): 1 if all are alike, their number
    if no two share a pair.
    """
    if not sets:
        return 0.0
    distinct = [set(one) or {("", "")} for one in sets]
    every = sorted({pair for one in distinct for pair in one})
    columns = {pair: place for place, pair in enumerate(every)}
    vectors = np.zeros((len(distinct), len(columns)))
    for row, one in enumerate(distinct):
        vectors[row, [columns[pair] for pair in one]] = len(one) ** -0.5
    values = np.linalg.eigvalsh(vectors @ vectors.T / len(distinct))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def growth(fingerprints: Sequence[str], step: int) -> list[int]:
    """How many different structures there are in the first ``step`` programs, twice that, ..."""
    seen: set[str] = set()
    curve = []
    for number, one in enumerate(fingerprints, 1):
        seen.add(one)
        if number % step == 0:
            curve.append(len(seen))
    return curve
