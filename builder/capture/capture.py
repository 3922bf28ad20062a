"""From a program to Inductor's Triton module for a target."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch._ops import OpOverload

from builder.capture import binding
from builder.capture.constants import MOST_ELEMENTS
from builder.capture.dynamic import marked_varying
from builder.capture.failures import rejection
from builder.capture.inductor import GraphRecord, compile_for
from builder.capture.kernels import Kernel, kernel_sources, read_kernel
from builder.capture.library import library_calls, way_round
from builder.capture.origins import Origins
from builder.capture.randomness import Draw, draws
from builder.capture.sizes import SizeReader, Sizes
from builder.capture.training import (
    Backward,
    BoundBackward,
    Differentiation,
    bind_backward,
    reject_differentiable_state,
)
from builder.capture.variants import DEFAULT
from builder.errors import CaptureRejected, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.capture.dynamic import Varying
    from builder.capture.sizes import Extent
    from builder.capture.targets import Target
    from builder.capture.variants import Variant


@dataclass(frozen=True)
class TensorSpec:
    """What the capture assumed of one tensor argument.

    Attributes:
        expression: of the tensor.
        size: numbers, or expressions over the capture's sizes.
        stride: likewise, in elements.
        dtype: as ``float32``.
    """

    expression: str
    size: tuple[Extent, ...]
    stride: tuple[Extent, ...]
    dtype: str


@dataclass(frozen=True)
class Capture:
    """Inductor's module for one program and target, with its arguments and results bound.

    Attributes:
        source: Inductor's module, paths of its cache removed.
        arguments: the expression of each argument of its ``call``, in order.
        result: the expression of what ``forward`` returns, over ``binding.OUTPUTS`` and inputs.
        rebound: buffers that ``forward`` replaces, each with the expression of the new one.
        tensors: geometry of every tensor argument.
        on_device_of: the expression of a tensor whose device is the module's; None if it has none.
        fixed: value of each input that tracing took as a constant.
        lengths: length of each list, tuple and dict among the inputs.
        training: the mode the module was captured in; None where it makes no difference.
        kernels: in the order of the module.
        aten_ops: overloads of the lowered graph, sorted.
        fallback_ops: operators that the module calls beside its kernels, sorted.
        target: the target's name.
        variant: the variant's name.
        sizes: the sizes that the kernels take as arguments.
        static_reason: why there are none, where some were asked for.
        draws: random draws, in the order of their seeds.
        backward: its backward pass, where it was captured for training.
        origins: where its buffers and kernels come from.
        keeps_library_calls: a pair may be made of it although library calls remain.
    """

    source: str
    arguments: tuple[str, ...]
    result: str
    rebound: tuple[tuple[str, str], ...]
    tensors: tuple[TensorSpec, ...]
    on_device_of: str | None
    fixed: tuple[tuple[str, Any], ...]
    lengths: tuple[tuple[str, int], ...]
    training: bool | None
    kernels: tuple[Kernel, ...]
    aten_ops: tuple[str, ...]
    fallback_ops: tuple[str, ...]
    target: str
    variant: str = DEFAULT.name
    sizes: Sizes = field(default_factory=Sizes)
    static_reason: str | None = None
    draws: tuple[Draw, ...] = ()
    backward: Backward | None = None
    origins: Origins = field(default_factory=Origins)
    keeps_library_calls: bool = False

    @property
    def every_fallback_op(self) -> tuple[str, ...]:
        """``fallback_ops`` of both graphs."""
        backward = self.backward.fallback_ops if self.backward is not None else ()
        return tuple(sorted({*self.fallback_ops, *backward}))

    @property
    def stochastic(self) -> bool:
        """Whether the program draws random numbers."""
        return bool(self.draws)


def _without_kernel(module: str, graph: str = "forward") -> Rejected:
    calls = library_calls(module)
    if not calls:
        return CaptureRejected(
            "no_kernel", f"{graph} only takes views, so no kernel comes of it; let it compute"
        )
    return CaptureRejected(
        "library_call",
        f"{graph} is nothing but library calls ({', '.join(calls)}); {way_round(calls, module)}",
    )


def _check_kernels(record: GraphRecord, *, keeps_library_calls: bool) -> None:
    """A graph has kernels; of a training pair with library calls at least one of its two."""
    forward = record.sources[0]
    backward = record.backward.sources[0] if record.backward is not None else ""
    if keeps_library_calls and backward and kernel_sources(backward) and library_calls(forward):
        return
    if not kernel_sources(forward):
        raise _without_kernel(forward)
    if not keeps_library_calls and library_calls(backward) and not kernel_sources(backward):
        raise _without_kernel(backward, "backward")


def _checked(record: GraphRecord) -> None:
    if not record.graphs:
        raise CaptureRejected(
            "no_graph", "forward computes nothing that torch.compile traces; let it compute"
        )
    if len(record.graphs) > 1 or len(record.calls) > 1:
        raise CaptureRejected(
            "graph_break", "forward traced into several graphs; write it so that it traces whole"
        )
    if record.constants:
        raise CaptureRejected(
            "tensor_constant",
            f"forward makes {len(record.constants)} tensor(s) of more than {MOST_ELEMENTS} "
            "elements from Python data; register them as buffers",
        )


def _clean(source: str) -> str:
    """Removes the comments that depend on the process: files of the cache, a running number."""
    return re.sub(r"^# (kernel path|AOT ID):.*\n", "", source, flags=re.MULTILINE)


def _aten_ops(graph: torch.fx.GraphModule) -> tuple[str, ...]:
    return tuple(
        sorted(
            {str(node.target) for node in graph.graph.nodes if isinstance(node.target, OpOverload)}
        )
    )


def _spec(expression: str, tensor: torch.Tensor, reader: SizeReader) -> TensorSpec:
    dtype = str(tensor.dtype).removeprefix("torch.")
    size, stride = reader.extents(tensor.size()), reader.extents(tensor.stride())
    return TensorSpec(expression, size, stride, dtype)


def _placed(named: Sequence[tuple[str, Any]]) -> str | None:
    return next((name for name, value in named if isinstance(value, torch.Tensor)), None)


def _fixed(inputs: Sequence[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in inputs if not isinstance(value, torch.Tensor))


def _has_modes(module: nn.Module) -> bool:
    """Whether the module holds layers that compute otherwise in evaluation."""
    modal = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)  # noqa: SLF001
    return any(isinstance(child, modal) for child in module.modules())


def capture(
    module: nn.Module,
    inputs: Sequence[Any],
    target: Target,
    *,
    seed: int = 0,
    variant: Variant = DEFAULT,
    varying: Sequence[Varying] = (),
    ones: bool = True,
    differentiate: bool = False,
    keeps_library_calls: bool = False,
) -> Capture:
    """Captures the Triton that ``torch.compile`` generates for ``module(*inputs)`` on ``target``.

    Nothing is launched and no GPU is needed; inputs are read for their geometry only.  Module and
    inputs made under ``FakeTensorMode`` need no memory for data.

    Args:
        module: the program's module.
        inputs: arguments of its ``forward``.
        target: the described GPU.
        seed: of choices among configurations.
        variant: Inductor's configuration.
        varying: sizes of the inputs that become arguments of the kernels (see
            ``generic.capture_any_size``).
        ones: such a size may be 1.
        differentiate: captures the backward pass, too: gradients of the parameters, and of the
            inputs that require them.
        keeps_library_calls: library calls may remain beside kernels; see ``Capture``.

    Raises:
        CaptureRejected: the program does not trace whole, is no Triton, or cannot be bound.
    """
    variant.check(target)
    if differentiate and varying:
        raise CaptureRejected(
            "varying_training",
            "the kernels of a training pair are for one size; let the shape variants be",
        )
    held = list(binding.module_tensors(module))
    given = binding.bound_arguments(module.forward, inputs)
    input_leaves = [leaf for name in given for leaf in binding.leaves(given[name], name)]
    differentiation = Differentiation([*input_leaves, *held]) if differentiate else None
    try:
        with marked_varying(input_leaves, varying):
            result, record = compile_for(
                module,
                inputs,
                target,
                seed,
                variant,
                dynamic=bool(varying),
                ones=ones,
                differentiate=differentiation,
            )
    except Rejected:
        raise
    except Exception as error:
        raise rejection(error) from error
    _checked(record)
    if record.backward is not None:
        _checked(record.backward)
    binding.reject_aliases(input_leaves)
    reader, named = _symbolic(record, [*input_leaves, *held])
    arguments = record.calls[0]
    expressions = binding.bind_arguments(arguments, named, reader)
    _check_kernels(record, keeps_library_calls=keeps_library_calls)
    sources = kernel_sources(record.sources[0])
    tensors = [
        (expression, argument)
        for expression, argument in zip(expressions, arguments, strict=True)
        if isinstance(argument, torch.Tensor)
    ]
    bound = binding.bind_result(result, record.results[0], named, reader)
    replaced = list(binding.rebound(held, list(binding.module_tensors(module))))
    backward = None
    if differentiation is not None:
        reject_differentiable_state(replaced)
        found = bind_backward(differentiation, record, tensors, bound)
        backward = _backward(record, found, target, seed)
    return Capture(
        source=_clean(record.sources[0]),
        arguments=expressions,
        result=bound,
        rebound=tuple(
            (expression, binding.bind_result(tensor, record.results[0], named, reader))
            for expression, tensor in replaced
        ),
        tensors=tuple(_spec(expression, argument, reader) for expression, argument in tensors),
        on_device_of=_placed(named),
        fixed=_fixed(input_leaves),
        lengths=tuple(item for name in given for item in binding.containers(given[name], name)),
        training=module.training if _has_modes(module) else None,
        kernels=tuple(read_kernel(name, text, target, seed) for name, text in sources.items()),
        aten_ops=_aten_ops(record.graphs[0]),
        fallback_ops=library_calls(record.sources[0]),
        target=target.name,
        variant=variant.name,
        sizes=reader.sizes(),
        draws=draws(record.graphs[0]),
        backward=backward,
        origins=record.origins[0],
        keeps_library_calls=keeps_library_calls,
    )


def _backward(record: GraphRecord, bound: BoundBackward, target: Target, seed: int) -> Backward:
    assert record.backward is not None
    source = record.backward.sources[0]
    sources = kernel_sources(source)
    return Backward(
        source=_clean(source),
        bound=bound,
        kernels=tuple(read_kernel(name, text, target, seed) for name, text in sources.items()),
        aten_ops=_aten_ops(record.backward.graphs[0]),
        fallback_ops=library_calls(source),
        origins=record.backward.origins[0],
    )


def _symbolic(
    record: GraphRecord, named: list[tuple[str, Any]]
) -> tuple[SizeReader, list[tuple[str, Any]]]:
    """The reader of a capture's sizes; the names of tensors, their symbolic stand-ins included."""
    stand_ins = {id(value): stand_in for value, stand_in in record.symbolic}
    symbolic = [(name, stand_ins[id(value)]) for name, value in named if id(value) in stand_ins]
    symbolic = [(name, value) for name, value in symbolic if isinstance(value, torch.Tensor)]
    return SizeReader(record.shape_env, symbolic), [*named, *symbolic]
