"""The one schema of a row and of a rejection, and the only places that make them.

``COLUMNS`` is the truth: ``SCHEMA``, the card's table of columns and the checks of ``make_row``
all derive from it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import math
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from builder import __version__
from builder.dataset.fingerprint import kernel_fingerprint, program_fingerprint
from builder.dataset.tokens import count_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_TEXTS = pa.list_(pa.string())

#: Longest message of a rejection, in characters; what is over it is counted, not kept.
MAX_MESSAGE = 4000


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: its name in the Parquet files.
        type: its Arrow type.
        description: what it holds, with units; printed on the card.
        required: whether every row has a value.
    """

    name: str
    type: pa.DataType
    description: str
    required: bool = True


def _optional(name: str, kind: pa.DataType, description: str) -> Column:
    return Column(name, kind, description, required=False)


COLUMNS: tuple[Column, ...] = (
    Column("entry_point", _TEXT, "Class of `python_code`; `<entry_point>New` in `triton_code`."),
    Column("python_code", _TEXT, "The PyTorch program; needs only `torch`."),
    Column("triton_code", _TEXT, "The standalone Triton module; needs only `torch` and `triton`."),
    Column("original_triton_code", _TEXT, "The compiler's own text, before it was rewritten."),
    Column("uuid", _TEXT, "UUID version 5 made of `pair_id`."),
    Column("pair_id", _TEXT, "16 hexadecimal digits of SHA-256 over program and Triton text."),
    _optional("seed", _INT, "Index in the root seed's stream; null for a user's file."),
    Column("source", _TEXT, "`family:<name>` or `file:<name>`."),
    _optional("family", _TEXT, "Family of a generated program; null for a user's file."),
    _optional("parent", _TEXT, "Program file a mutant was made of, `name@` and 16 digits of its "
              "SHA-256; null for what is no mutant."),
    Column("edits", _TEXTS, "What was done to `parent`, in order; empty for what is no mutant."),
    Column("license", _TEXT, "SPDX identifier of the pair."),
    Column("mode", _TEXT, "`forward` or `training`."),
    Column("stochastic", _BOOL, "Whether the program draws random numbers: forward takes a seed."),
    Column("shape_generic", _BOOL, "Whether the Triton module takes any size the program takes: it "
           "was verified on at least three other shapes, odd sizes among them."),
    _optional("static_reason", _TEXT, "Why it takes the declared shape only, where the program "
              "declares shape variants; null otherwise."),
    Column("dtypes", _TEXTS, "Data types the program computes in."),
    Column("target", _TEXT, "Described GPU the kernels were generated for, e.g. `cuda:90`."),
    Column("variant", _TEXT, "Named compiler configuration."),
    Column("level", _INT, "1 one operator, 2 a fusion, 3 a block, 4 a small network."),
    Column("aten_ops", _TEXTS, "ATen operations of the captured graph."),
    Column("kernel_names", _TEXTS, "`@triton.jit` kernels of `triton_code`."),
    Column("kernel_kinds", _TEXTS, "Kind of each: pointwise, reduction, template and so on."),
    Column("num_kernels", _INT, "Number of kernels."),
    Column("triton_only", _BOOL, "False where PyTorch's operators remain; see `fallback_ops`."),
    Column("fallback_ops", _TEXTS, "PyTorch's operators that `triton_code` calls beside its "
           "kernels, as `aten.mm.out`."),
    Column("python_tokens", _INT, "Tokens of `python_code` by Python's `tokenize`, comments and "
           "layout aside."),
    Column("triton_tokens", _INT, "Tokens of `triton_code`, counted the same way."),
    _optional("flops", _INT, "Floating-point operations of one forward; null if unknown."),
    _optional("bytes_moved", _INT, "Bytes read and written by one forward; null if unknown."),
    _optional("registers", _INT, "Most registers per thread of a kernel, on `target`."),
    _optional("shared_memory", _INT, "Most bytes of shared memory of a kernel, on `target`."),
    _optional("spills", _INT, "Spilled registers over all kernels, on `target`."),
    Column("verified", _BOOL, "Always true: what is not verified is no row."),
    Column("verifier_version", _TEXT, "Version of the rules it was verified by."),
    Column("input_sets", _INT, "Input draws that were compared."),
    Column("input_shapes", _TEXTS, "Shapes of the inputs of each input set: draws of `get_inputs`, "
           "then other shapes."),
    Column("refused_shapes", _TEXTS, "Undeclared shapes that the program takes and the Triton "
           "module refuses with `ValueError`."),
    Column("unrun_shapes", _TEXTS, "Shapes of declared input sets that are too large to run: the "
           "kernels compile as they are launched there, and were compared on `input_shapes`."),
    Column("error", _FLOAT, "Largest error against the float64 reference, rounded up to a power "
           "of two."),
    _optional("tolerance", _FLOAT, "Largest error that was allowed: twice eager's own or the "
              "floor, rounded up to a power of two."),
    Column("floor", _FLOAT, "Error that is always allowed for these operations and types."),
    Column("compiled_targets", _TEXTS, "Targets that every kernel compiles for, within limits."),
    Column("deterministic", _BOOL, "Whether two runs in different orders give the same bits."),
    _optional("structure", _TEXT, "Hash of the program's graph of ATen operators; names, numbers "
              "and sizes aside; null where the program asks tensors for values."),
    Column("program_fingerprint", _TEXT, "Hash of the program, names and numbers aside."),
    Column("kernel_fingerprint", _TEXT, "Hash of the kernels, names and numbers aside."),
    _optional("device", _TEXT, "GPU the times were taken on; null where none ran."),
    _optional("eager_us", _FLOAT, "Microseconds of PyTorch eager; null if not measured."),
    _optional("compiled_us", _FLOAT, "Microseconds of `torch.compile`; null if not measured."),
    _optional("triton_us", _FLOAT, "Microseconds of `triton_code`; null if not measured."),
    Column("builder_version", _TEXT, "Version of torch2triton."),
    Column("torch_version", _TEXT, "Version of PyTorch."),
    Column("triton_version", _TEXT, "Version of Triton."),
)  # fmt: skip

REJECTION_COLUMNS: tuple[Column, ...] = (
    _optional("seed", _INT, "Index in the root seed's stream; null for a user's file."),
    Column("source", _TEXT, "`family:<name>` or `file:<name>`."),
    Column("stage", _TEXT, "Stage that refused it: program, capture, rewrite, verify, worker."),
    Column("kind", _TEXT, "Reason, one short word that is stable across versions."),
    Column("message", _TEXT, "What happened, with the program's own line where one is known."),
    Column("deterministic", _BOOL, "False for a kill by deadline or memory."),
)

SCHEMA = pa.schema([(column.name, column.type) for column in COLUMNS])
REJECTION_SCHEMA = pa.schema([(column.name, column.type) for column in REJECTION_COLUMNS])

#: Column name to description, of both schemas; what the card prints.
DESCRIPTIONS = {column.name: column.description for column in COLUMNS}
REJECTION_DESCRIPTIONS = {column.name: column.description for column in REJECTION_COLUMNS}

_VERDICT_COLUMNS = {"max_error": "error", "draws": "input_sets"}
_VERDICT_ONLY = {"kind", "reason", "resources"}
_RESOURCES = {"registers": "registers", "shared": "shared_memory", "spills": "spills"}
_DEFAULTS: dict[str, Any] = {
    "parent": None,
    "edits": (),
    "license": "Apache-2.0",
    "level": 2,
    "dtypes": (),
    "mode": "forward",
    "stochastic": False,
    "shape_generic": False,
    "static_reason": None,
    "refused_shapes": (),
    "unrun_shapes": (),
    "variant": "default",
    "aten_ops": (),
    "triton_only": True,
    "fallback_ops": (),
}


def make_row(
    program: Mapping[str, Any], capture: Mapping[str, Any], verdict: Mapping[str, Any]
) -> dict[str, Any]:
    """One row of the data set, ready for JSON and for Parquet.

    Args:
        program: ``python_code``, ``entry_point``, ``source``, ``seed``, and what else of the
            program's fields is known (``license``, ``level``, ``dtypes``, ``parent``).
        capture: ``triton_code``, ``original_triton_code``, ``target``, ``kernel_kinds``, and what
            else is known (``variant``, ``aten_ops``, ``flops``, ...).
        verdict: the verifier's verdict as a dict; ``max_error`` becomes ``error`` (rounded up to a
            power of two), ``draws`` becomes ``input_sets`` and ``resources[target]`` becomes
            ``registers``, ``shared_memory`` and ``spills``.

    Raises:
        ValueError: a field that no column has, a required one that is missing, a value of another
            type than its column's, or a verdict that does not verify the pair.
    """
    if not verdict.get("verified"):
        raise ValueError("a pair that is not verified is no row; make a rejection of it")
    fields = _DEFAULTS | dict(program) | dict(capture) | _verdict_fields(verdict, capture)
    unknown = sorted(set(fields) - set(DESCRIPTIONS))
    if unknown:
        raise ValueError(f"no column is called {', '.join(unknown)}; see builder.dataset.schema")
    fields |= _identity(fields) | _versions() | {"error": round_up(fields.get("error", 0.0))}
    return _checked(fields, COLUMNS, SCHEMA)


def make_rejection(
    *,
    seed: int | None,
    source: str,
    stage: str,
    kind: str,
    message: str,
    deterministic: bool = True,
) -> dict[str, Any]:
    """One row of ``rejections``; addresses and folders are taken out of the message."""
    fields = {
        "seed": seed,
        "source": source,
        "stage": stage,
        "kind": kind,
        "message": tidy_message(message),
        "deterministic": deterministic,
    }
    return _checked(fields, REJECTION_COLUMNS, REJECTION_SCHEMA)


def tidy_message(message: str) -> str:
    """The message without what differs between two runs: addresses, folders, excess length."""
    message = message.encode("utf-8", "replace").decode()
    message = re.sub(r"\b0x[0-9a-fA-F]{6,16}\b", "0x...", message)
    message = re.sub(r"(?<![\w.:/])/(?:[\w.+@-]+/)+([\w.+@-]+)", r"\1", message)
    excess = len(message) - MAX_MESSAGE
    return message if excess <= 0 else f"{message[:MAX_MESSAGE]} ... ({excess} more characters)"


def round_up(error: float) -> float:
    """The smallest power of two that is not below ``error``; 0 stays 0."""
    if error == 0 or not math.isfinite(error):
        return error
    mantissa, exponent = math.frexp(error)
    return math.ldexp(1.0, exponent - 1 if mantissa == 0.5 else exponent)


def pair_id(python_code: str, triton_code: str) -> str:
    """First 16 hexadecimal digits of SHA-256 over the two texts."""
    return hashlib.sha256((python_code + triton_code).encode()).hexdigest()[:16]


def _identity(fields: Mapping[str, Any]) -> dict[str, Any]:
    python_code, triton_code = fields["python_code"], fields["triton_code"]
    origin, _, name = fields["source"].partition(":")
    identifier = pair_id(python_code, triton_code)
    return {
        "pair_id": identifier,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, identifier)),
        "family": name if origin == "family" else None,
        "python_tokens": count_tokens(python_code),
        "triton_tokens": count_tokens(triton_code),
        "program_fingerprint": program_fingerprint(python_code),
        "kernel_fingerprint": kernel_fingerprint(triton_code),
    }


def _verdict_fields(verdict: Mapping[str, Any], capture: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        _VERDICT_COLUMNS.get(key, key): value
        for key, value in verdict.items()
        if key not in _VERDICT_ONLY
    }
    resources = (verdict.get("resources") or {}).get(capture.get("target"), {})
    return fields | {column: resources.get(key) for key, column in _RESOURCES.items()}


@functools.cache
def _versions() -> dict[str, str]:
    return {"builder_version": __version__} | {
        f"{name}_version": _installed(name) for name in ("torch", "triton")
    }


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _checked(
    fields: Mapping[str, Any], columns: tuple[Column, ...], schema: pa.Schema
) -> dict[str, Any]:
    missing = [c.name for c in columns if c.required and fields.get(c.name) is None]
    if missing:
        raise ValueError(f"a row needs {', '.join(missing)}")
    # Arrow would take a string as a list of its letters.
    letters = [c.name for c in columns if c.type == _TEXTS and isinstance(fields[c.name], str)]
    if letters:
        raise ValueError(f"a value does not fit its column: {', '.join(letters)} must be a list")
    row = {column.name: _plain(fields.get(column.name)) for column in columns}
    try:
        pa.RecordBatch.from_pylist([row], schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError) as error:
        raise ValueError(f"a value does not fit its column: {error}") from error
    return row


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (tuple, set, frozenset)) else value
