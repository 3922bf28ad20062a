"""Small device functions that a standalone Triton module may need.

They stand in for the run-time helpers that generated kernels call.  Each is shipped as text, with
only those it calls itself, in the modules that use it; their names are listed in ``FUNCTIONS``.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def as_tensor(x):
    """A scalar as a tensor of one element; a tensor unchanged."""
    return x + tl.zeros((1,), tl.int1)


@triton.jit
def floor_divide(a, b):
    """Integer division rounded down; Triton's own rounds towards zero."""
    quotient = a // b
    inexact = (a % b) != 0
    return tl.where(inexact & ((a < 0) != (b < 0)), quotient - 1, quotient)


@triton.jit
def floor_remainder(a, b):
    """Integer remainder with the sign of the divisor; Triton's own has the dividend's."""
    remainder = a % b
    return tl.where((remainder != 0) & ((a < 0) != (b < 0)), remainder + b, remainder)


@triton.jit
def integer_power(base, exponent):
    """``base ** exponent`` for non-negative integer exponents, by repeated squaring."""
    result = tl.full(base.shape, 1, base.dtype)
    for bit in tl.static_range(32):
        result = tl.where(((exponent >> bit) & 1) != 0, result * base, result)
        base = base * base
    return result


@triton.jit
def mantissa_and_exponent(x):
    """``x`` as ``mantissa * 2 ** exponent``, the mantissa's size from a half to one.

    Zero, NaN and infinities are their own mantissa.
    """
    special = (x == 0.0) | (x != x) | (tl.abs(x) == float("inf"))
    usual = tl.where(special, 1.0, x)
    exponent = libdevice.ilogb(usual) + 1
    mantissa = libdevice.ldexp(usual, -exponent)
    return tl.where(special, x, mantissa), tl.where(special, 0, exponent)


@triton.jit
def maximum(a, b):
    """Elementwise maximum that keeps NaN, as PyTorch's does."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def minimum(a, b):
    """Elementwise minimum that keeps NaN, as PyTorch's does."""
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def reduce_max(x, axis):
    """Maximum along an axis, NaN kept."""
    return tl.reduce(x, axis, maximum)


@triton.jit
def reduce_min(x, axis):
    """Minimum along an axis, NaN kept."""
    return tl.reduce(x, axis, minimum)


@triton.jit
def multiply(a, b):
    """Product of two values, for reductions and scans."""
    return a * b


@triton.jit
def reduce_product(x, axis):
    """Product along an axis."""
    return tl.reduce(x, axis, multiply)


@triton.jit
def bitwise_or(a, b):
    """Disjunction of two values, for reductions."""
    return a | b


@triton.jit
def reduce_any(x, axis):
    """Whether any element along an axis is set."""
    return tl.reduce(x, axis, bitwise_or)


@triton.jit
def greater_first(a, a_index, b, b_index):
    """The greater of two (value, index) pairs; NaN is greatest, ties go to the lower index."""
    a_nan = a != a
    b_nan = b != b
    tie = (a == b) | (a_nan & b_nan)
    take_a = (a > b) | (a_nan & (b == b)) | (tie & (a_index < b_index))
    return tl.where(take_a, a, b), tl.where(take_a, a_index, b_index)


@triton.jit
def smaller_first(a, a_index, b, b_index):
    """The smaller of two (value, index) pairs; NaN is smallest, ties go to the lower index."""
    a_nan = a != a
    b_nan = b != b
    tie = (a == b) | (a_nan & b_nan)
    take_a = (a < b) | (a_nan & (b == b)) | (tie & (a_index < b_index))
    return tl.where(take_a, a, b), tl.where(take_a, a_index, b_index)


@triton.jit
def reduce_max_with_index(value, index, axis):
    """Maximum along an axis and where it stands first."""
    return tl.reduce((value, index), axis, greater_first)


@triton.jit
def reduce_min_with_index(value, index, axis):
    """Minimum along an axis and where it stands first."""
    return tl.reduce((value, index), axis, smaller_first)


@triton.jit
def exponential(x, approximate: tl.constexpr):
    """``exp(x)``: the hardware's approximation or the library's rounded one."""
    if approximate:
        return tl.exp(x)
    return libdevice.exp(x)


@triton.jit
def softmax_scale(old_max, new_max, approximate: tl.constexpr):
    """Factor that moves a sum of exponentials from one running maximum to another."""
    return exponential(tl.where(new_max == float("-inf"), 0.0, old_max - new_max), approximate)


@triton.jit
def online_softmax_reduce(block_max, block_sum, axis, approximate: tl.constexpr):
    """Joins per-lane maxima and sums of exponentials along an axis (Milakov, Gimelshein 2018)."""
    total_max = reduce_max(block_max, axis)
    scale = softmax_scale(block_max, tl.expand_dims(total_max, axis), approximate)
    return total_max, tl.sum(block_sum * scale, axis)


@triton.jit
def online_softmax_step(running_max, running_sum, x, approximate: tl.constexpr):
    """Takes one more value into a running maximum and sum of exponentials."""
    new_max = maximum(running_max, x)
    kept = running_sum * softmax_scale(running_max, new_max, approximate)
    return new_max, kept + softmax_scale(x, new_max, approximate)


@triton.jit
def online_softmax_join(max_left, sum_left, max_right, sum_right, approximate: tl.constexpr):
    """Joins two running maxima and sums of exponentials."""
    new_max = maximum(max_left, max_right)
    scaled_left = sum_left * softmax_scale(max_left, new_max, approximate)
    return new_max, scaled_left + sum_right * softmax_scale(max_right, new_max, approximate)


@triton.jit
def welford_step(value, mean, m2, count):
    """Takes one more value into a running mean and sum of squared deviations (Welford 1962)."""
    new_count = count + 1
    delta = value - mean
    new_mean = mean + delta / new_count
    return new_mean, m2 + delta * (value - new_mean), new_count


@triton.jit
def welford_join(mean_left, m2_left, count_left, mean_right, m2_right, count_right):
    """Joins two running means and sums of squared deviations (Chan, Golub, LeVeque 1979)."""
    count = count_left + count_right
    share = tl.where(count == 0.0, 0.0, count_right / count)
    delta = tl.where(mean_left == mean_right, 0.0, mean_right - mean_left)
    m2 = m2_left + m2_right + delta * delta * count_left * share
    return mean_left + delta * share, m2, count


@triton.jit
def welford_reduce(mean, m2, count, axis):
    """Joins running means and sums of squared deviations along an axis."""
    return tl.reduce((mean, m2, count), axis, welford_join)


@triton.jit
def grid_barrier(semaphore):
    """Waits until every program instance along x has come here.

    All of them must run at once, in a cooperative launch.  The semaphore is a uint32 that starts at
    0 and serves any number of barriers: its top bit flips when the last instance has come.
    """
    tl.debug_barrier()
    count = tl.num_programs(0).to(tl.uint32)
    one = tl.full((), 1, tl.uint32)
    step = tl.where(tl.program_id(0) == 0, 0x80000000 - (count - one), one)
    before = tl.atomic_add(semaphore, step, sem="release")
    flipped = False
    while not flipped:
        now = tl.atomic_add(semaphore, 0, sem="acquire")
        flipped = ((before ^ now) & 0x80000000) != 0
    tl.debug_barrier()


@triton.jit
def pack_value(value, flag, word: tl.constexpr, pair: tl.constexpr):
    """A value and a flag as one unsigned integer, so that both are written at once."""
    bits = value.to(word, bitcast=True).to(pair)
    return (bits << word.primitive_bitwidth) | tl.full((), flag, pair)


@triton.jit
def preceding_blocks(scratch, total, index, combine, word: tl.constexpr, pair: tl.constexpr):
    """The combined totals of all blocks before this one, in a scan of several blocks.

    "Single-pass Parallel Prefix Scan with Decoupled Look-back" (Merrill, Garland 2016): each block
    publishes its own total (flag 1), then looks back until it meets one whose totals reach to the
    start (flag 2), and publishes such totals itself.  The scratch memory starts at 0.
    """
    if index > 0:
        tl.atomic_xchg(scratch + index, pack_value(total, 1, word, pair), sem="relaxed")
    before = tl.zeros([], total.dtype)
    has_before = False
    place = index - 1
    while place >= 0:
        found = tl.atomic_add(scratch + place, 0, sem="relaxed")
        while (found & 3) == 0:
            found = tl.atomic_add(scratch + place, 0, sem="relaxed")
        value = (found >> word.primitive_bitwidth).to(word).to(total.dtype, bitcast=True)
        if has_before:
            before = combine(value, before)
        else:
            before = value
            has_before = True
        place = tl.where((found & 3) == 2, -1, place - 1)
    if has_before:
        total = combine(before, total)
    tl.atomic_xchg(scratch + index, pack_value(total, 2, word, pair), sem="relaxed")
    return before


@triton.jit
def preceding_blocks_64(scratch, total, index, combine):
    """``preceding_blocks`` for totals of 64 bits, each with its flag in a word of its own.

    Of the three words of a block the first is the flag, which says which of the others counts.
    """
    if index > 0:
        tl.store(scratch + 3 * index + 1, total.to(tl.uint64, bitcast=True))
        tl.debug_barrier()
        tl.atomic_xchg(scratch + 3 * index, tl.full((), 1, tl.uint64), sem="release")
    before = tl.zeros([], total.dtype)
    has_before = False
    place = index - 1
    while place >= 0:
        flag = tl.atomic_add(scratch + 3 * place, 0, sem="acquire")
        while flag == 0:
            flag = tl.atomic_add(scratch + 3 * place, 0, sem="acquire")
        word = tl.load(scratch + 3 * place + flag.to(tl.int32))
        value = word.to(total.dtype, bitcast=True)
        if has_before:
            before = combine(value, before)
        else:
            before = value
            has_before = True
        place = tl.where(flag == 2, -1, place - 1)
    if has_before:
        total = combine(before, total)
    tl.store(scratch + 3 * index + 2, total.to(tl.uint64, bitcast=True))
    tl.debug_barrier()
    tl.atomic_xchg(scratch + 3 * index, tl.full((), 2, tl.uint64), sem="release")
    return before


@triton.jit
def assert_then(condition, message, value):
    """``value``, after a device-side assertion."""
    tl.device_assert(condition, message)
    return value


@triton.jit
def select_one(x, mask, dim, keep_dims: tl.constexpr = False):
    """The one element along a dimension that the mask marks."""
    return tl.sum(tl.where(mask, x, 0), dim, keep_dims=keep_dims).to(x.dtype)


@triton.jit
def random_integers(seed, offset, low, high):
    """Integers from ``low`` to below ``high``: 64 random bits, modulo how many there are."""
    lower, upper, _, _ = tl.randint4x(seed, offset)
    bits = lower.to(tl.uint64) | (upper.to(tl.uint64) << 32)
    return (bits % (high - low).to(tl.uint64)).to(tl.int64) + low


@triton.constexpr_function
def log2_exact(size):
    """Exponent of a power of two, at compile time."""
    return size.bit_length() - 1


@triton.jit
def comes_before(a, a_index, b, b_index, count, descending: tl.constexpr):
    """Whether ``a`` is sorted before ``b``.

    NaN is greatest, ties go by index, and places from ``count`` on come last.
    """
    a_nan = a != a
    b_nan = b != b
    if descending:
        before = (a > b) | (a_nan & (b == b))
    else:
        before = (a < b) | (b_nan & (a == a))
    before = before | (((a == b) | (a_nan & b_nan)) & (a_index < b_index))
    if count is not None:
        a_valid = a_index < count
        b_valid = b_index < count
        before = (a_valid & (b_index >= count)) | ((a_valid == b_valid) & before)
    return before


@triton.jit
def sort_with_index(x, index, count, axis: tl.constexpr, descending: tl.constexpr = False):
    """Sorts each row with a bitonic network (Batcher 1968), taking indices along.

    Every element fetches its partner, so that nothing is unrolled; the order is total and thereby
    stable.
    """
    tl.static_assert(axis == len(x.shape) - 1, "only rows can be sorted")
    x, index = tl.broadcast(x, index)
    _, position = tl.broadcast(x, tl.arange(0, x.shape[axis]))
    stages: tl.constexpr = log2_exact(x.shape[axis])
    for stage in range(1, stages + 1):
        for step in range(stage):
            distance = 1 << (stage - 1 - step)
            partner = position ^ distance
            other = tl.gather(x, partner, axis)
            other_index = tl.gather(index, partner, axis)
            ascending = (position & (1 << stage)) == 0
            takes_first = ((position & distance) == 0) == ascending
            first = comes_before(x, index, other, other_index, count, descending)
            keep = first == takes_first
            x = tl.where(keep, x, other)
            index = tl.where(keep, index, other_index)
    return x, index


@triton.constexpr_function
def sorted_last(dtype, descending):
    """The value after which no other is sorted; NaN is greatest."""
    if dtype.is_floating():
        return float("-inf") if descending else float("nan")
    if dtype.is_int_unsigned():
        return 0 if descending else (1 << dtype.primitive_bitwidth) - 1
    top = 1 << (dtype.primitive_bitwidth - 1)
    return -top if descending else top - 1


@triton.jit
def sort_values(x, count, axis: tl.constexpr, descending: tl.constexpr = False):
    """Sorts each row with a bitonic network (Batcher 1968).

    NaN is greatest, and places from ``count`` on come last.  Every element fetches its partner, so
    that nothing is unrolled.
    """
    tl.static_assert(axis == len(x.shape) - 1, "only rows can be sorted")
    _, position = tl.broadcast(x, tl.arange(0, x.shape[axis]))
    if count is not None:
        x = tl.where(position < count, x, sorted_last(x.dtype, descending))
    stages: tl.constexpr = log2_exact(x.shape[axis])
    for stage in range(1, stages + 1):
        for step in range(stage):
            distance = 1 << (stage - 1 - step)
            other = tl.gather(x, position ^ distance, axis)
            ascending = (position & (1 << stage)) == 0
            takes_first = ((position & distance) == 0) == ascending
            first = tl.where(takes_first, x, other)
            second = tl.where(takes_first, other, x)
            if descending:
                misplaced = (second > first) | ((second != second) & (first == first))
            else:
                misplaced = (second < first) | ((first != first) & (second == second))
            x = tl.where(misplaced, other, x)
    return x


@triton.jit
def bucket_of(
    values,
    boundaries,
    count,
    total,
    stride,
    start,
    index_type: tl.constexpr,
    right: tl.constexpr,
    order,
    order_stride,
    order_start,
):  # fmt: skip
    """How many of ``count`` sorted boundaries lie below each value, by binary search.

    Boundaries that equal the value lie below it if ``right``; NaN lies above all of them.
    ``order``, if not None, holds the places of the boundaries in sorted order.  No boundary is
    read beyond ``total``, where rows that do not exist would have theirs.
    """
    low = tl.zeros(values.shape, index_type)
    high = tl.full(values.shape, count, index_type)
    steps = count
    while steps > 0:
        middle = low + (high - low) // 2
        is_open = (low < high) & (start + stride * middle < total)
        place = middle
        if order is not None:
            place = tl.load(order + order_start + order_stride * middle, mask=is_open, other=0)
        bound = tl.load(boundaries + start + stride * place, mask=is_open, other=0)
        if right:
            is_above = is_open & ((bound > values) == 0)
        else:
            is_above = is_open & ((bound >= values) == 0)
        low = tl.where(is_above, middle + 1, low)
        high = tl.where(is_above, high, middle)
        steps = steps // 2
    return low


FUNCTIONS = {
    "promote_to_tensor": "as_tensor",
    "div_floor_integer": "floor_divide",
    "remainder_integer": "floor_remainder",
    "pow_integer": "integer_power",
    "frexp": "mantissa_and_exponent",
    "maximum": "maximum",
    "minimum": "minimum",
    "max2": "reduce_max",
    "min2": "reduce_min",
    "prod": "reduce_product",
    "any": "reduce_any",
    "maximum_with_index": "greater_first",
    "minimum_with_index": "smaller_first",
    "max_with_index": "reduce_max_with_index",
    "min_with_index": "reduce_min_with_index",
    "exp": "exponential",
    "online_softmax_reduce": "online_softmax_reduce",
    "online_softmax_combine": "online_softmax_step",
    "online_softmax_combine_with_sum": "online_softmax_join",
    "welford_reduce": "welford_step",
    "welford_combine": "welford_join",
    "welford": "welford_reduce",
    "x_grid_barrier": "grid_barrier",
    "exclusive_scan_decoupled_lookback": "preceding_blocks",
    "exclusive_scan_decoupled_lookback_64": "preceding_blocks_64",
    "select_one": "select_one",
    "randint64": "random_integers",
    "device_assert_then": "assert_then",
    "sort_with_index": "sort_with_index",
    "bucketize_binary_search": "bucket_of",
}
"""Name in PyTorch's ``torch/_inductor/runtime/triton_helpers.py`` -> name here."""

NEEDLESS_ARGUMENTS = {"welford_reduce": (4,), "sort_with_index": ("stable",)}
"""Positions and keywords of PyTorch's helpers that the functions here do without: whether it is the
recurrence's first step (its initial state is zero anyway), whether a sort is stable (it always is).
"""

KEYWORDS = {"DTYPE_VALUE_AS_UINT": "word", "DTYPE_PACK": "pair"}
"""Keyword in PyTorch's ``torch/_inductor/runtime/triton_helpers.py`` -> keyword here."""
