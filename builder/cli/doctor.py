"""``torch2triton doctor``: what this machine has, and what to do about what is missing."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import render
from builder.cli.output import EXIT_FAILED, EXIT_OK, Output, with_output
from builder.config import BuildConfig, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: torch release to the triton release it belongs with (PyTorch's release notes and wheels).
TRITON_OF_TORCH = {"2.11": "3.6", "2.12": "3.7", "2.13": "3.7"}

_PYTHON = ((3, 10), (3, 13))
_TORCH_REMEDY = "pip install 'torch>=2.11,<2.14'"
_PROBE_DEADLINE_S = 180.0
_EPILOG = """\b
Example:
  torch2triton doctor --format json
"""


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what was looked at.
        found: what is there.
        ok: whether it is as it should be.
        required: whether no build can run without it.
        remedy: what to do about it, empty if nothing.
    """

    name: str
    found: str
    ok: bool = True
    required: bool = False
    remedy: str = ""


@click.command("doctor", epilog=_EPILOG)
@with_output
def command(*, output: Output) -> int:
    """Say what this machine has, and what to do about what is missing."""
    checks = [*packages(), *machine(), *compilers(probe()), *hub()]
    builds = all(check.ok for check in checks if check.required)
    output.result(
        {"builds": builds, "checks": [asdict(check) for check in checks]},
        human=render.table(("check", "state", "found", "what to do"), map(_line, checks)),
        quiet=[f"{check.name}: {check.remedy}" for check in checks if check.remedy],
    )
    output.note("builds can run" if builds else "builds cannot run; see what to do")
    return EXIT_OK if builds else EXIT_FAILED


def _line(check: Check) -> tuple[str, str, str, str]:
    state = "ok" if check.ok else "fails" if check.required else "note"
    return check.name, state, check.found, check.remedy


def packages() -> Iterator[Check]:
    """Python, torch, triton and the data set libraries, from what is installed."""
    yield _python()
    torch, triton = installed("torch"), installed("triton")
    supported = _release(torch) in TRITON_OF_TORCH
    remedy = "" if supported else _TORCH_REMEDY
    yield Check("torch", torch or "missing", supported, required=True, remedy=remedy)
    yield _triton(torch, triton)
    for name in ("pyarrow", "datasets", "huggingface_hub"):
        version = installed(name)
        remedy = "" if version else f"pip install {name}"
        needed = name == "pyarrow"
        yield Check(name, version or "missing", bool(version), required=needed, remedy=remedy)


def installed(name: str) -> str | None:
    """Version of an installed distribution, without importing it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _python() -> Check:
    ok = _PYTHON[0] <= sys.version_info[:2] <= _PYTHON[1]
    remedy = "" if ok else "use Python 3.10 to 3.13"
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", version, ok, required=True, remedy=remedy)


def _triton(torch: str | None, triton: str | None) -> Check:
    """Whether triton belongs to torch; a CPU build of torch brings none."""
    wanted = triton_for(torch)
    ok = triton is not None and _release(triton) in ([wanted] if wanted else ["3.6", "3.7"])
    low = wanted or "3.6"
    remedy = "" if ok else f"pip install 'triton>={low},<{'3.8' if not wanted else _next(low)}'"
    found = f"{triton}, torch {torch} needs {wanted}" if triton and not ok else triton
    return Check("triton", found or "missing", ok, required=True, remedy=remedy)


def triton_for(torch: str | None) -> str | None:
    """The triton release that a torch version belongs with, None if unknown.

    What torch's own metadata asks for comes first; builds for the CPU ask for none.
    """
    if torch is None:
        return None
    pinned = (re.match(r"triton\s*==\s*(\d+\.\d+)", r) for r in _requirements("torch"))
    return next((match[1] for match in pinned if match), TRITON_OF_TORCH.get(_release(torch)))


def _requirements(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _release(version: str | None) -> str:
    return ".".join((version or "").split(".")[:2])


def _next(release: str) -> str:
    major, _, minor = release.partition(".")
    return f"{major}.{int(minor) + 1}"


def machine() -> Iterator[Check]:
    """Cores and memory, as far as this process may use them."""
    cores = len(os.sched_getaffinity(0))
    yield Check("cores", str(cores))
    memory, needed = memory_bytes(), Limits().memory_bytes
    ok = memory >= needed
    remedy = "" if ok else f"builds may need {needed >> 30} GiB; use --workers 1"
    yield Check("memory", f"{memory / (1 << 30):.1f} GiB", ok, remedy=remedy)


def memory_bytes() -> int:
    """Memory of the machine, or of the control group this process is in if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(limit).read_text(encoding="ascii").strip()
        except OSError:
            continue
        total = min(total, int(text)) if text.isdigit() else total
    return total


@dataclass(frozen=True)
class Probe:
    """What the probing process said (see ``builder.cli.probe``).

    Attributes:
        facts: the objects it printed.
        end: how it ended, empty if well.
    """

    facts: tuple[Mapping[str, Any], ...]
    end: str = ""


def probe() -> Probe:
    """Runs the probe in a process of its own, with an empty compiler cache."""
    with tempfile.TemporaryDirectory() as cache:
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "builder.cli.probe"],
                env={**os.environ, "TRITON_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=False,
                timeout=_PROBE_DEADLINE_S,
            )
        except subprocess.TimeoutExpired as error:
            said = error.stdout.decode() if isinstance(error.stdout, bytes) else ""
            return Probe(_facts(said), f"no answer within {_PROBE_DEADLINE_S:.0f} s")
    return Probe(_facts(ended.stdout), _end(ended))


def _facts(text: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(json.loads(line) for line in text.splitlines() if line.startswith("{"))


def _end(ended: subprocess.CompletedProcess[str]) -> str:
    if ended.returncode < 0:
        return f"the compiler died of signal {-ended.returncode}"
    if ended.returncode:
        return next(iter(ended.stderr.strip().splitlines()[-1:]), f"status {ended.returncode}")
    return ""


def compilers(probed: Probe) -> Iterator[Check]:
    """The GPU, and each target's compiler; the default target's one is required."""
    facts = {name: value for fact in probed.facts for name, value in fact.items()}
    gpus, broken = facts.get("gpus", ()), facts.get("torch_error", "")
    if broken:
        yield Check("torch import", broken, ok=False, required=True, remedy=_TORCH_REMEDY)
    yield Check("gpu", ", ".join(gpus) or "none (only measurements need one)")
    results = {fact["target"]: fact for fact in probed.facts if "target" in fact}
    default = BuildConfig(pairs=1, out=Path()).targets
    for name in facts.get("targets", default):
        fact = results.get(name, {"error": probed.end or "not tried"})
        remedy = "" if "bytes" in fact else "install triton for this torch again"
        found = f"compiles ({fact['bytes']:,} bytes)" if "bytes" in fact else fact["error"]
        yield Check(f"target {name}", found, not remedy, required=name in default, remedy=remedy)


def hub() -> Iterator[Check]:
    """Whether there is a token to push with; what it is stays unsaid."""
    try:
        from huggingface_hub import get_token  # noqa: PLC0415 - may be missing

        present = get_token() is not None
    except Exception:  # noqa: BLE001 - no library, or a login that cannot be read
        present = False
    remedy = "" if present else "to push: set HF_TOKEN or run `hf auth login`"
    yield Check("hub token", "present" if present else "none", present, remedy=remedy)
