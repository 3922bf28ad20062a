"""Inductor's lowering of one ATen graph for a described GPU, ended before the module would run.

Everything in this module reaches into private parts of torch 2.11 to 2.13;
``tests/capture/test_inductor.py`` fails if one of the seams moves.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
import torch._dynamo.config as dynamo_config
import torch._dynamo.utils as dynamo_utils
import torch._functorch.config as functorch_config
import torch._inductor.config as inductor_config
import torch.fx
from functorch.compile import make_boxed_func
from sympy import Integer
from torch._guards import TracingContext
from torch._inductor import compile_fx as inductor
from torch._inductor import ir
from torch._inductor.codegen.triton import TritonOverrides
from torch._inductor.fx_passes import fuse_attention, joint_graph
from torch._inductor.graph import GraphLowering
from torch._inductor.virtualized import V
from torch._prims_common import suggest_memory_format

from builder.capture import flex, subgraphs
from builder.capture.constants import fill_empty, held_constants, inline_constants
from builder.capture.control_flow import write_out_control_flow
from builder.capture.decompose import decompositions
from builder.capture.device import described_gpu
from builder.capture.gpu_branches import gpu_branches
from builder.capture.origins import Origins, origins_of
from builder.capture.randomness import reject_unknown
from builder.capture.ranking import one_ranked
from builder.capture.retarget import OnGpu, fake_mode, retarget
from builder.capture.scatters import scatters_in_triton
from builder.capture.sizes import shape_env, symbolic_sizes
from builder.capture.stand_ins import as_laid_out, result_plan, stand_ins
from builder.capture.sums import short_sums_apart
from builder.capture.variant_seams import configured
from builder.capture.variants import DEFAULT
from builder.capture.versions import known
from builder.programs.higher_order import on_any_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from builder.capture.targets import Target
    from builder.capture.variants import Variant

SETTINGS: dict[str, Any] = {
    "compile_threads": 1,
    "force_disable_caches": True,
    "shape_padding": False,
    "benchmark_epilogue_fusion": False,
    # Products and convolutions as Triton templates; one candidate each, so nothing is timed.
    "max_autotune_gemm": True,
    "max_autotune_gemm_backends": "TRITON",
    "max_autotune_conv_backends": "TRITON",
    "max_autotune_conv_bwd_weight_backends": "TRITON",
    "max_autotune_conv_bwd_input_backends": "TRITON",
    "test_configs.max_mm_configs": 1,
    "triton.num_decompose_k_splits": 0,  # its candidates call a library
}
"""Inductor's settings during capture."""

TRAINING_SETTINGS: dict[str, Any] = {
    # Without inference's channels-last layout a 1x1 convolution has two candidates, to be timed.
    "conv_1x1_as_mm": True,
}
"""Inductor's settings, besides these, where a backward graph is captured."""

AUTOGRAD_SETTINGS: dict[str, Any] = {
    # A tangent is expected contiguous, or channels last where its output is: two layouts to make.
    "guess_tangent_strides_as_outputs": False,
    # What forward saved stays as it is, so that backward may run twice.
    "donated_buffer": False,
}
"""AOTAutograd's settings during capture."""


@dataclass(frozen=True)
class _Lowered:
    """Inductor's module for a graph, the strides of each result, where it has some, and origins."""

    source: str
    strides: tuple[tuple[int, ...] | None, ...]
    origins: Origins = field(default_factory=Origins)


class _SourceTaken(BaseException):
    """Ends Inductor's compilation; not an ``Exception``, so nothing in between reports it."""

    def __init__(self, lowered: _Lowered) -> None:
        super().__init__()
        self.lowered = lowered


@dataclass
class GraphRecord:
    """What one ``torch.compile`` call left behind.

    Attributes:
        sources: Inductor's modules, one a graph.
        origins: of what each of them holds.
        constants: names of tensors that the graph holds as constants.
        graphs: the lowered ATen graphs.
        calls: the run-time arguments of each call of a compiled graph, by identity.
        results: the tensors each call returned.
        symbolic: the arguments of the traced function that have a symbolic stand-in, which the
            graph was called with instead, and the stand-in.
        backward: the same for the backward graph; None if none was lowered.
    """

    sources: list[str] = field(default_factory=list)
    origins: list[Origins] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    graphs: list[torch.fx.GraphModule] = field(default_factory=list)
    calls: list[list[Any]] = field(default_factory=list)
    results: list[list[Any]] = field(default_factory=list)
    symbolic: list[tuple[Any, Any]] = field(default_factory=list)
    backward: GraphRecord | None = None

    @property
    def shape_env(self) -> Any:
        """The ``ShapeEnv`` of the traced sizes; None if all are numbers."""
        return shape_env(stand_in for _, stand_in in self.symbolic)

    def of(self, *, is_backward: bool) -> GraphRecord:
        """The record of the forward graph, or of the backward graph."""
        if not is_backward:
            return self
        self.backward = self.backward or GraphRecord()
        return self.backward


def _take_source(graph: GraphLowering) -> Any:
    strides = tuple(_fixed_strides(out) for out in graph.graph_outputs or ())
    code, _ = graph.codegen()
    raise _SourceTaken(_Lowered(code.value, strides, origins_of(graph, code.value)))


def _fixed_strides(result: Any) -> tuple[int, ...] | None:
    """The strides of a graph's result, as ``torch/_inductor/compile_fx.py`` reports them."""
    if not isinstance(result, ir.IRNode) or not result.has_tensor_output():
        return None
    strides = result.get_layout().stride
    return tuple(map(int, strides)) if all(isinstance(s, (int, Integer)) for s in strides) else None


@contextlib.contextmanager
def _lowering_seams(
    target: Target, seed: int, variant: Variant, *, described: bool
) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for patch in (
            mock.patch.object(GraphLowering, "compile_to_module", _take_source),
            one_ranked(target, seed, variant.rank),
            mock.patch.object(inductor, "FakeTensorProp", OnGpu),
            mock.patch.object(TritonOverrides, "_cuda_atanf", _library_atan, create=True),
            scatters_in_triton(),
            short_sums_apart(),
            described_gpu(target) if described else contextlib.nullcontext(),
            flex.without_driver(),
            subgraphs.without_driver(),
        ):
            stack.enter_context(patch)
        yield


def _library_atan(x: Any) -> Any:
    """The library's arc tangent: torch 2.13 writes its own in NVIDIA's assembly."""
    return V.kernel.cse.generate(
        V.kernel.compute, f"libdevice.atan({x})", dtype=torch.float32, shape=x.shape
    )


def _report_strides(strides: Sequence[tuple[int, ...] | None]) -> None:
    """Tells AOTAutograd how a forward graph's results lie: the backward graph takes them so."""
    context = TracingContext.try_get()
    if context is not None and context.output_strides is not None:
        context.output_strides.extend(strides)


def _lower(
    gm: torch.fx.GraphModule,
    inputs: Sequence[Any],
    options: dict[str, Any],
    target: Target,
    seed: int,
    variant: Variant,
    *,
    described: bool,
) -> _Lowered:
    """The module Inductor generates for a graph, which is moved to the described GPU first."""
    with _lowering_seams(target, seed, variant, described=described):
        on_gpu, mode = retarget(gm, inputs) if described else (inputs, fake_mode(gm))
        with V.set_fake_mode(mode):
            try:
                inductor.compile_fx_inner(gm, on_gpu, **{**options, "cudagraphs": False})
            except _SourceTaken as taken:
                return taken.lowered
    return _Lowered("", ())  # a graph that only hands its inputs back has no module


def _backend(
    whole: GraphRecord, target: Target, seed: int, variant: Variant, *, described: bool
) -> Callable[..., Any]:
    def inner_compile(gm: torch.fx.GraphModule, inputs: Sequence[Any], **kwargs: Any) -> Any:
        record = whole.of(is_backward=bool(kwargs.get("is_backward")))
        plan = result_plan(gm)
        inline_constants(gm)
        fill_empty(gm)
        subgraphs.without_fallbacks(gm)
        record.graphs.append(gm)
        record.constants.extend(held_constants(gm))
        if not record.constants:
            lowered = _lower(gm, inputs, kwargs, target, seed, variant, described=described)
            record.sources.append(lowered.source)
            record.origins.append(lowered.origins)
            plan = as_laid_out(plan, lowered.strides)
            _report_strides(lowered.strides)

        def run(*arguments: Any) -> list[Any]:
            results = stand_ins(plan, arguments)
            record.calls.append(list(arguments))
            record.results.append(results)
            return results

        return make_boxed_func(run)

    def backend(gm: torch.fx.GraphModule, inputs: Sequence[Any]) -> Any:
        reject_unknown(gm)
        write_out_control_flow(gm)
        flex.settle_options(gm)
        if variant.attention == "flex":
            flex.with_flex_attention(gm)
        traced = _symbolic_arguments(gm)
        compiled: Any = inductor.compile_fx(
            gm, inputs, inner_compile=inner_compile, decompositions=decompositions()
        )
        if shape_env(traced) is None:
            _forget_guards()
            return compiled

        def run_symbolically(*arguments: Any) -> Any:
            whole.symbolic.extend(zip(arguments, traced, strict=True))
            return compiled(*traced)

        return run_symbolically

    return backend


def _symbolic_arguments(gm: torch.fx.GraphModule) -> list[Any]:
    """What Dynamo traced in the place of each argument."""
    placeholders = [node for node in gm.graph.nodes if node.op == "placeholder"]
    return [node.meta.get("example_value") for node in placeholders]


def _forget_guards() -> None:
    """Saves Dynamo building checks for a second call, a tenth of a capture: there is none."""
    TracingContext.get().guards_context.dynamo_guards.inner.clear()


_SCALED_SOFTMAX = frozenset({"mul_softmax_pattern", "div_softmax_pattern"})


@contextlib.contextmanager
def _softmax_as_written() -> Iterator[None]:
    """Leaves the scaled softmax alone.

    ``torch/_inductor/fx_passes/joint_graph.py`` takes the scale out of the maximum, and computes
    the row a second time, as written, in case that an element is not finite.
    """
    changed = []
    for patterns in joint_graph.pass_patterns:
        for key, entries in patterns.patterns.items():
            kept = [e for e in entries if _handler_name(e) not in _SCALED_SOFTMAX]
            if len(kept) < len(entries):
                changed.append((patterns.patterns, key, entries))
                patterns.patterns[key] = kept
    try:
        yield
    finally:
        for table, key, entries in changed:
            table[key] = entries


def _handler_name(entry: Any) -> str:
    return getattr(getattr(entry, "handler", None), "__name__", "")


def tangent_format(output: torch.Tensor) -> torch.memory_format:
    """How AOTAutograd expects the gradient of an output to lie (``MemoryFormatMeta`` of
    ``torch/_functorch/_aot_autograd/schemas.py``).
    """
    return suggest_memory_format(output)


def compile_for(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    target: Target,
    seed: int,
    variant: Variant = DEFAULT,
    *,
    dynamic: bool = False,
    ones: bool = True,
    differentiate: Callable[[Any], None] | None = None,
    described: bool = True,
) -> tuple[Any, GraphRecord]:
    """Runs ``torch.compile(function)`` for a described GPU, in a variant's configuration.

    Args:
        function: to be traced.
        arguments: of it.
        target: the described GPU.
        seed: of choices among configurations.
        variant: Inductor's configuration.
        dynamic: sizes that ``sizes.marked`` marked become symbols.
        ones: such a size may be 1.
        differentiate: runs a backward pass from what the compiled function returned, which lowers
            the backward graph; without it nothing is differentiated.
        described: without, the function and its arguments lie on this machine's own GPU, which is
            of the target's kind, and is asked itself.

    Returns:
        what the compiled function returned, its tensors being uncomputed stand-ins, and the record.

    Raises:
        Exception: whatever Dynamo, AOTAutograd or Inductor raised.
    """
    record = GraphRecord()
    torch._dynamo.reset()  # noqa: SLF001
    with (
        inductor_config.patch(known(SETTINGS | (TRAINING_SETTINGS if differentiate else {}))),
        configured(variant, target),
        dynamo_config.patch(
            specialize_float=True, ignore_logging_functions={warnings.warn, logging.warning}
        ),
        # Written for nobody, and torch 2.11 cannot write the functions to be ignored.
        mock.patch.object(dynamo_utils, "_get_dynamo_config_for_logging", return_value=None),
        # Attention in its math form stays as written: no pattern makes it a library call.
        mock.patch.object(fuse_attention, "_sfdp_init"),
        _softmax_as_written(),
        functorch_config.patch(AUTOGRAD_SETTINGS),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        symbolic_sizes(ones=ones) if dynamic else contextlib.nullcontext(),
        torch.set_grad_enabled(differentiate is not None),
        on_any_device(),
        gpu_branches() if described else contextlib.nullcontext(),
    ):
        compiled = torch.compile(
            function,
            backend=_backend(record, target, seed, variant, described=described),
            fullgraph=True,
            dynamic=False,
        )
        result = compiled(*arguments)
        if differentiate is not None:
            differentiate(result)
    return result, record
