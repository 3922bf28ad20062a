"""Launching: what a launch records, what it accepts, what it leaves behind."""

import linecache

import pytest
import torch
import triton
import triton.language as tl
from torch._subclasses.fake_tensor import FakeTensorMode
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import ASTSource
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from builder.errors import ExecutionError, UnsupportedOperation
from builder.execute import ExecutionOptions, launches_noted, launches_on_cpu, run


@triton.jit
def scale(x, out, n, factor, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    tl.store(out + index, tl.load(x + index, mask) * factor, mask)


def launch_scale(x, out, **options):
    scale[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), 2.5, BLOCK=64, **options)


def test_launch_inside_the_context():
    x, out = torch.randn(100), torch.empty(100)
    with launches_on_cpu() as trace:
        launch_scale(x, out, num_warps=2, num_stages=3)
    assert torch.equal(out, x * 2.5)
    (launch,) = trace.launches
    assert launch.kernel is scale
    assert launch.grid == (2, 1, 1)
    assert launch.signature == {
        "x": "*fp32", "out": "*fp32", "n": "i32", "factor": "fp32", "BLOCK": "constexpr",
    }  # fmt: skip
    assert launch.constants == {(4,): 64}
    assert launch.attrs[(0,)] == [["tt.divisibility", 16]]
    assert launch.options == {"num_warps": 2, "num_stages": 3}
    assert trace.instructions > 0


def test_launches_are_noted_on_fake_tensors_and_nothing_runs():
    size = 1 << 30
    with FakeTensorMode():
        x, out = torch.empty(size), torch.empty(size + 1)[1:]
    with launches_noted() as trace:
        launch_scale(x, out, num_warps=2)
        scale[(1,)](x, out, 1 << 33, 2.5, BLOCK=64)
    launch, other = trace.launches
    assert launch.grid == (size // 64, 1, 1)
    assert launch.signature["n"] == "i32"
    assert other.signature["n"] == "i64"
    assert launch.attrs[(0,)] == [["tt.divisibility", 16]]
    assert launch.attrs[(1,)] == []  # an element past what is aligned
    written = torch.zeros(64)
    with launches_noted() as trace:
        launch_scale(torch.randn(64), written, num_warps=2)
    assert not written.any()
    with launches_on_cpu() as ran:
        launch_scale(torch.randn(64), torch.empty(64), num_warps=2)
    assert ran.launches == trace.launches


def test_a_grid_that_no_gpu_launches_is_found_on_fake_tensors():
    with FakeTensorMode():
        x = torch.empty(1 << 40)
    with pytest.raises(ExecutionError, match="beyond CUDA's limits"), launches_noted():
        launch_scale(x, x)


def test_launch_record_compiles_for_a_target():
    with launches_on_cpu() as trace:
        launch_scale(torch.randn(64), torch.empty(64), num_warps=2)
    launch = trace.launches[0]
    source = ASTSource(launch.kernel, launch.signature, launch.constants, launch.attrs)
    target = GPUTarget("cuda", 80, 32)
    compiled = triton.compile(source, target=target, options=launch.options)
    assert compiled.metadata.num_warps == 2
    assert compiled.asm["cubin"]


def test_arguments_are_specialised_as_a_launch_does():
    with launches_on_cpu() as trace:
        scale[(1,)](torch.randn(64), torch.empty(64), 16, 1.0, BLOCK=64)
        scale[(1,)](torch.randn(65)[1:], torch.empty(64), 1, 1.0, BLOCK=64)
    divisible, one = trace.launches
    assert divisible.attrs[(2,)] == [["tt.divisibility", 16]]
    assert one.signature["n"] == "constexpr"
    assert one.constants[(2,)] == 1
    assert one.attrs.get((0,), []) == []


def test_nothing_is_left_behind():
    before = JITFunction.run, driver._active
    with pytest.raises(ExecutionError), launches_on_cpu():
        run(coordinates, (), torch.zeros(1, dtype=torch.int32))
    assert (JITFunction.run, driver._active) == before
    with pytest.raises((RuntimeError, ValueError)):  # no driver, or one that wants its own memory
        launch_scale(torch.randn(64), torch.empty(64))


def test_contexts_nest():
    x = torch.randn(64)
    with launches_on_cpu() as outer:
        with launches_on_cpu(ExecutionOptions(check_memory=False)) as inner:
            launch_scale(x, torch.empty(64))
        launch_scale(x, torch.empty(64))
    assert len(inner.launches) == 1
    assert len(outer.launches) == 1


@triton.autotune([triton.Config({"BLOCK": 32}), triton.Config({"BLOCK": 128})], key=["n"])
@triton.jit
def tuned(x, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + index, tl.load(x + index, index < n) + BLOCK, index < n)


@triton.heuristics({"BLOCK": lambda arguments: 64 if arguments["n"] > 50 else 32})
@triton.jit
def heuristic(x, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + index, tl.load(x + index, index < n) + BLOCK, index < n)


def test_autotuned_kernels_take_the_first_configuration():
    x, out = torch.zeros(100), torch.empty(100)
    run(tuned, lambda meta: (triton.cdiv(100, meta["BLOCK"]),), x, out, 100)
    assert torch.equal(out, torch.full((100,), 32.0))
    with launches_on_cpu() as trace:
        tuned[(4,)](x, out, 100)
    assert trace.launches[0].options["num_warps"] == 4


def test_heuristics():
    out = torch.empty(100)
    run(heuristic, (2,), torch.zeros(100), out, 100)
    assert torch.equal(out, torch.full((100,), 64.0))


@triton.jit
def many_types(out, i8, i64, f, flag, nothing, big, small: tl.int8, unsigned: tl.uint32):
    tl.store(out, i8.to(tl.float64))
    tl.store(out + 1, i64.to(tl.float64))
    tl.store(out + 2, f.to(tl.float64))
    tl.store(out + 3, flag.to(tl.float64))
    if nothing is None:
        tl.store(out + 4, 5.0)
    tl.store(out + 5, big.to(tl.float64))
    tl.store(out + 6, small.to(tl.float64))
    tl.store(out + 7, unsigned.to(tl.float64))


def test_scalar_arguments():
    out = torch.zeros(8, dtype=torch.float64)
    values = (-5, 1 << 40, 0.1, True, None, (1 << 63) + 2048, -3, 4_000_000_000)
    run(many_types, 1, out, *values)
    expected = [-5, 1 << 40, float(torch.tensor(0.1)), 1, 5, float((1 << 63) + 2048), -3, 4e9]
    assert out.tolist() == expected


@triton.jit
def coordinates(out):
    x, y, z = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    place = (z * tl.num_programs(1) + y) * tl.num_programs(0) + x
    tl.store(out + place, x + 10 * y + 100 * z)


@pytest.mark.parametrize("permute_seed", [None, 3])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
def test_grids_of_three_dimensions(permute_seed, chunk):
    out = torch.zeros(2, 3, 4, dtype=torch.int32)
    with launches_on_cpu(ExecutionOptions(permute_seed=permute_seed, chunk_elements=chunk)):
        run(coordinates, (4, 3, 2), out)
    expected = [[[x + 10 * y + 100 * z for x in range(4)] for y in range(3)] for z in range(2)]
    assert out.tolist() == expected


def test_empty_grids_do_nothing():
    with launches_on_cpu() as trace:
        run(coordinates, (4, 0, 2), torch.zeros(0, dtype=torch.int32))
    assert trace.launches[0].grid == (4, 0, 2)


@pytest.mark.parametrize("grid", [(), (1, 1, 1, 1), (-1,), (1, 70000)])
def test_impossible_grids(grid):
    with pytest.raises(ExecutionError) as caught:
        run(coordinates, grid, torch.zeros(1, dtype=torch.int32))
    assert caught.value.kind == "grid"


def test_tensors_elsewhere_are_refused():
    with pytest.raises(ExecutionError, match="CPU tensors"):
        run(scale, (1,), torch.empty(4, device="meta"), torch.empty(4), 4, 1.0, BLOCK=4)


@triton.jit
def spin(out):
    value = tl.load(out)
    while value == 0:
        value = tl.load(out)
    tl.store(out, value)


def test_endless_kernels_run_out_of_budget():
    options = ExecutionOptions(instruction_budget=2000)
    with launches_on_cpu(options), pytest.raises(ExecutionError) as caught:
        run(spin, (1,), torch.zeros(1))
    assert caught.value.kind == "budget"
    assert caught.value.line is not None


@triton.jit
def assembly(x, out, PTX: tl.constexpr):
    value = tl.load(x + tl.arange(0, 16))
    value = tl.inline_asm_elementwise(PTX, "=f,f", [value], tl.float32, is_pure=True, pack=1)
    tl.store(out + tl.arange(0, 16), value)


def test_assembly_of_one_instruction():
    x, out = torch.rand(16), torch.empty(16)
    run(assembly, (1,), x, out, PTX="rcp.approx.ftz.f32 $0, $1;")
    assert torch.allclose(out, 1 / x)


@pytest.mark.parametrize("assembly_text", ["popc.b32 $0, $1;", "neg.f32 $0, $1; neg.f32 $0, $0;"])
def test_unknown_operations_are_named(assembly_text):
    with pytest.raises(UnsupportedOperation) as caught:
        run(assembly, (1,), torch.randn(16), torch.empty(16), PTX=assembly_text)
    assert caught.value.operation.startswith("tt.elementwise_inline_asm")
    assert caught.value.kernel == "assembly"
    assert caught.value.line is not None


@triton.jit
def wrong_types(x):
    tl.store(x, tl.arange(0, 16) + tl.arange(0, 8))


def test_kernels_that_do_not_compile():
    with pytest.raises(ExecutionError) as caught:
        run(wrong_types, (1,), torch.zeros(1))
    assert caught.value.kind == "compile"
    assert caught.value.kernel == "wrong_types"


TEXT = """
import triton
import triton.language as tl

@triton.jit
def helper(x):
    return x * 2 + FOUR

FOUR: tl.constexpr = tl.constexpr(4)

@triton.jit
def kernel(x, out, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    tl.store(out + index, helper(tl.load(x + index)))
"""


def test_kernels_from_text_by_linecache():
    name = "<kernels of this test>"
    linecache.cache[name] = (len(TEXT), None, TEXT.splitlines(keepends=True), name)
    namespace = {"__name__": "kernels_of_this_test"}
    exec(compile(TEXT, name, "exec"), namespace)
    x, out = torch.randn(16), torch.empty(16)
    run(namespace["kernel"], (1,), x, out, BLOCK=16)
    assert torch.equal(out, x * 2 + 4)
    with pytest.raises(ExecutionError) as caught:
        run(namespace["kernel"], (1,), x, out, BLOCK=32)
    assert caught.value.line == 14


def test_kernels_from_files(tmp_path):
    path = tmp_path / "kernels.py"
    path.write_text(TEXT)
    namespace = {"__name__": "kernels"}
    exec(compile(TEXT, str(path), "exec"), namespace)
    x, out = torch.randn(16), torch.empty(16)
    run(namespace["kernel"], (1,), x, out, BLOCK=16)
    assert torch.equal(out, x * 2 + 4)


@triton.jit
def strided(x, out, n, m, seed, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    drawn = tl.rand(seed, place)
    tl.store(out + place, tl.load(x + place + n * m * (place // 7)) + drawn)


@pytest.mark.parametrize(("n", "m"), [(50000, 45000), (-50000, 45000)])
def test_products_of_sizes_that_overflow_are_found_without_running(n, m):
    x = torch.empty(4)
    with launches_noted() as trace:
        # Neither a product that fits nor the random generator's own, which wraps.
        strided[(1 << 28,)](x, x, 46000, 46000, 1 << 40, BLOCK=64)
        strided[(1 << 28,)](x, x, n << 20, m, 7, BLOCK=64)  # a 64-bit number by itself
    assert len(trace.launches) == 2
    with pytest.raises(ExecutionError, match="declare the sizes as"), launches_noted():
        strided[(4,)](x, x, n, m, 7, BLOCK=64)


@triton.jit
def narrow(x, BLOCK: tl.constexpr):
    tl.store(x + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), 1.0)


def test_the_last_instances_offset_must_fit_too():
    with launches_noted() as trace:
        narrow[((1 << 31) // 64,)](torch.empty(4), BLOCK=64)
    assert len(trace.launches) == 1
    with pytest.raises(ExecutionError, match="reaches 2,147,483,648"), launches_noted():
        narrow[((1 << 31) // 64 + 1,)](torch.empty(4), BLOCK=64)
