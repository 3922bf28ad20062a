"""One capture for every size that a program takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.capture import binding
from builder.capture.capture import Capture, capture
from builder.capture.dynamic import order_of_hints, varying_sizes
from builder.capture.sizes import evaluate
from builder.capture.variants import DEFAULT
from builder.errors import CaptureRejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from builder.capture.targets import Target
    from builder.capture.variants import Variant

_MAY_DEPEND_ON_HINTS = ("compiler_error", "fixed_size", "graph_break", "unknown_size")


def capture_any_size(
    make_module: Callable[[], nn.Module],
    sets: Sequence[Sequence[Any]],
    target: Target,
    *,
    seed: int = 0,
    variant: Variant = DEFAULT,
    keeps_library_calls: bool = False,
) -> Capture:
    """Captures kernels that take their sizes as arguments.

    Args:
        make_module: makes the module to be captured, a new one each time.
        sets: the declared inputs, then those of each shape variant; what differs between them is
            what may have any size.
        target: the described GPU.
        seed: of choices among configurations.
        variant: Inductor's configuration.
        keeps_library_calls: see ``capture``.

    Raises:
        CaptureRejected: as ``capture``; and ``same_sizes``, ``varying_structure``,
            ``unknown_size`` or ``fixed_size``, where kernels of one shape may still be had.
    """
    module = make_module()
    varying = varying_sizes(module.forward, sets)
    if not varying:
        raise CaptureRejected(
            "same_sizes", "the shape variants have the sizes of get_inputs; let them differ"
        )

    def trial(index: int, ones: bool) -> Capture | CaptureRejected:
        try:
            captured = capture(
                make_module(),
                sets[index],
                target,
                seed=seed,
                variant=variant,
                varying=varying,
                ones=ones,
                keeps_library_calls=keeps_library_calls,
            )
            _check_sets(captured, module.forward, sets)
        except CaptureRejected as rejected:
            return rejected
        return captured

    best, second, *_ = order_of_hints(varying)
    results: list[Capture | CaptureRejected] = []
    for index, ones in ((best, True), (second, True), (best, False)):
        results.append(trial(index, ones))
        if isinstance(results[-1], Capture):
            return results[-1]
        if results[-1].kind not in _MAY_DEPEND_ON_HINTS:
            break
    assert isinstance(results[0], CaptureRejected)
    raise results[0]


def sizes_of(
    captured: Capture, forward: Callable[..., Any], inputs: Sequence[Any]
) -> dict[str, int]:
    """The value of each size of a capture for given inputs, by its name."""
    given = binding.bound_arguments(forward, inputs)
    return {size.name: int(_value(size.expression, given)) for size in captured.sizes.free}


def _value(expression: str, given: Mapping[str, Any]) -> Any:
    return eval(expression, {"__builtins__": {}}, dict(given))  # noqa: S307 - our own expression


def _check_sets(
    captured: Capture, forward: Callable[..., Any], sets: Sequence[Sequence[Any]]
) -> None:
    refused = _refused(captured, forward, sets)
    if refused:
        raise CaptureRejected(
            "fixed_size",
            f"tracing fixed sizes that the shape variants change: {refused}; let all variants meet "
            "this, or write forward so that it asks nothing of its sizes",
        )


def _refused(captured: Capture, forward: Callable[..., Any], sets: Sequence[Sequence[Any]]) -> str:
    """The first condition of a capture that an input set does not meet; empty if there is none."""
    for inputs in sets:
        given = binding.bound_arguments(forward, inputs)
        sizes = sizes_of(captured, forward, inputs)
        for guard in captured.sizes.guards:
            if not evaluate(guard, sizes):
                return _readable(guard, captured)
        for spec in captured.tensors:
            if spec.expression.startswith("self.") or spec.expression == "self":
                continue
            tensor = _value(spec.expression, given)
            for dim, extent in enumerate(spec.size):
                if evaluate(extent, sizes) != tensor.shape[dim]:
                    name = f"{spec.expression}.shape[{dim}]"
                    return f"{name} == {_readable(extent, captured)}"
            for dim, step in enumerate(spec.stride):
                if tensor.shape[dim] > 1 and evaluate(step, sizes) != tensor.stride(dim):
                    name = f"{spec.expression}.stride({dim})"
                    return f"{name} == {_readable(step, captured)}"
    return ""


def _readable(expression: Any, captured: Capture) -> str:
    text = str(expression)
    for size in reversed(captured.sizes.free):
        text = text.replace(size.name, size.expression)
    return text
