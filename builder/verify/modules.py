"""Loads the two shipped texts and builds the module of each."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import re
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from builder.errors import VerificationRejected
from builder.verify.memory import let_memory_failures_pass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from builder.programs.load import LoadedProgram

FILE_NAME = "triton_code.py"
MODULE_NAME = "_triton_code"
MESSAGE_LENGTH = 400


@contextlib.contextmanager
def own_default_dtype(dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """Runs what it encloses with a default dtype of its own.

    A program's text may change the default of its process; who uses the Triton file alone has
    torch's.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def imported_text(text: str) -> Iterator[ModuleType]:
    """Imports a text as a module of its own, from a file that lives as long.

    triton reads kernels from their file, so it must exist while they are compiled.

    Raises:
        VerificationRejected: ``triton_error``; the text does not import.
    """
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        path = Path(folder) / FILE_NAME
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(MODULE_NAME, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[MODULE_NAME] = module
        try:
            with triton_errors("import"), own_default_dtype():
                spec.loader.exec_module(module)
            yield module
        finally:
            del sys.modules[MODULE_NAME]


@contextlib.contextmanager
def triton_errors(step: str) -> Iterator[None]:
    """Turns what the Triton text raises into a rejection that names the text's own line.

    Raises:
        VerificationRejected: ``triton_error``; errors of this package pass through.
    """
    try:
        yield
    except (KeyboardInterrupt, VerificationRejected):
        raise
    except BaseException as error:
        if getattr(error, "kind", None) is not None:
            raise
        let_memory_failures_pass(error)
        line = _text_line(error)
        place = f" at line {line}" if line else ""
        message = f"{step}{place}: {summary(error)}"
        raise VerificationRejected("triton_error", message) from error


def summary(error: BaseException) -> str:
    """Type and first line of a message, without addresses and folders, which differ each time."""
    first = (str(error).strip().splitlines() or [""])[0]
    return anonymous(f"{type(error).__name__}: {first}")[:MESSAGE_LENGTH]


def anonymous(message: str) -> str:
    """A message without addresses and without the throw-away folder."""
    message = re.sub(r"0x[0-9a-fA-F]+", "0x...", message)
    return re.sub(rf"[^\s'\"]*/{re.escape(FILE_NAME)}", FILE_NAME, message)


def refuses(error: BaseException) -> bool:
    """Whether the Triton text itself raised ``ValueError``, so that nothing was computed."""
    cause = error.__cause__
    if not isinstance(cause, ValueError) or cause.__traceback__ is None:
        return False
    *_, (frame, _) = traceback.walk_tb(cause.__traceback__)
    return Path(frame.f_code.co_filename).name == FILE_NAME


def _text_line(error: BaseException) -> int | None:
    """The innermost line of the text that the error passed."""
    frames = traceback.walk_tb(error.__traceback__)
    lines = [n for frame, n in frames if Path(frame.f_code.co_filename).name == FILE_NAME]
    return lines[-1] if lines else None


def original_module(program: LoadedProgram, seed: int) -> nn.Module:
    """The program's module as constructed."""
    with torch.no_grad():
        return program.make_module(seed)


def triton_module(
    program: LoadedProgram, text: ModuleType, original: nn.Module, seed: int
) -> nn.Module:
    """``<entry_point>New`` built from the same arguments, holding the same state.

    Args:
        program: gives the arguments.
        text: the imported Triton file.
        original: the program's module, whose state is loaded.
        seed: of the constructor; another than the original's, so that whatever ``state_dict``
            lacks is not equal by accident.

    Raises:
        VerificationRejected: ``triton_error`` if it cannot be built, ``state_dict`` if its state
            is not the program's.
    """
    name, found = new_class(program, text)
    namespace = {**program.namespace, name: found}
    twin = dataclasses.replace(program, entry_point=name, namespace=namespace)
    with triton_errors("constructor"), torch.no_grad(), own_default_dtype():
        new = twin.make_module(seed)
    load_state(new, original)
    return new


def new_class(program: LoadedProgram, text: ModuleType) -> tuple[str, type[nn.Module]]:
    """Name and class of a Triton file's module.

    Raises:
        VerificationRejected: ``triton_error``; there is none.
    """
    name = f"{program.entry_point}New"
    found = getattr(text, name, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise VerificationRejected("triton_error", f"{name} is no subclass of nn.Module")
    return name, found


def load_state(new: nn.Module, original: nn.Module) -> None:
    """``new.load_state_dict(original.state_dict())``, strictly.

    Raises:
        VerificationRejected: ``state_dict``.
    """
    try:
        new.load_state_dict(original.state_dict(), strict=True)
    except Exception as error:
        let_memory_failures_pass(error)
        message = anonymous(" ".join(str(error).split()))[:MESSAGE_LENGTH]
        raise VerificationRejected(
            "state_dict", f"the program's state does not load: {message}"
        ) from error
    pairs = zip(original.state_dict().items(), new.state_dict().items(), strict=True)
    for (name, old), (other, value) in pairs:
        if name != other or not isinstance(old, torch.Tensor):
            continue
        if old.dtype != value.dtype or old.shape != value.shape:
            message = (
                f"{name} is {value.dtype} {tuple(value.shape)}, not {old.dtype} {tuple(old.shape)}"
            )
            raise VerificationRejected("state_dict", message)
