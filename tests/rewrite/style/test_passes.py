"""What each pass leaves out, and what it leaves alone."""

import pytest

from builder.rewrite.style.casts import drop_needless_casts
from builder.rewrite.style.constants import settle_constants
from builder.rewrite.style.functions import name_functions
from builder.rewrite.style.inline import copy_names, drop_unread, inline_temporaries
from builder.rewrite.style.kinds import signature_kinds
from builder.rewrite.style.literals import write_literals
from builder.rewrite.style.products import write_products
from builder.rewrite.style.repeats import drop_repeats
from builder.rewrite.style.versions import separate_versions

from .text import body, parsed

SIGNATURE = {"x_ptr": "*fp32", "y_ptr": "*bf16", "n": "i32", "XBLOCK": "constexpr"}
KINDS = signature_kinds(SIGNATURE)
LOADS = """
i = tl.arange(0, XBLOCK)
x = tl.load(x_ptr + i)
y = tl.load(y_ptr + i)
"""


def after(run, text, *, loads=True):
    function = parsed((LOADS if loads else "") + text)
    run(function)
    return [line for line in body(function) if not loads or line not in LOADS]


def cast(function):
    drop_needless_casts(function, KINDS)


def literal(function):
    write_literals(function, KINDS)


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("a = x.to(tl.float32)", "a = x"),
        ("a = y.to(tl.float32)", "a = y.to(tl.float32)"),
        ("a = x.to(tl.bfloat16).to(tl.float32)", "a = x.to(tl.bfloat16).to(tl.float32)"),
        ("a = tl.broadcast_to(x, [XBLOCK])", "a = x"),
        ("a = tl.broadcast_to(x, [XBLOCK, 4])", "a = tl.broadcast_to(x, [XBLOCK, 4])"),
        ("a = x.broadcast_to(x.shape)", "a = x"),
        ("a = i[:]", "a = i"),
        ("a = tl.load(x_ptr + i, None, eviction_policy='evict_last')", "a = tl.load(x_ptr + i)"),
        (
            "a = tl.load(x_ptr + i, i < n, other=0.0)",
            "a = tl.load(x_ptr + i, mask=i < n, other=0.0)",
        ),
        ("tl.store(x_ptr + i, x, i < n)", "tl.store(x_ptr + i, x, mask=i < n)"),
        ("a = tl.full([XBLOCK], 0, tl.float32)", "a = tl.zeros([XBLOCK], dtype=tl.float32)"),
        ("a = tl.full([XBLOCK], 1.0, tl.float32)", "a = tl.full([XBLOCK], 1.0, tl.float32)"),
        ("a = (i < n) & tl.full([1], True, tl.int1)", "a = i < n"),
        ("t = tl.full([1], True, tl.int1)\na = (i < n) & t", "a = i < n"),
        ("a = tl.where((i < n) == 0, x, y)", "a = tl.where(~(i < n), x, y)"),
        ("a = tl.where(i == 0, x, y)", "a = tl.where(i == 0, x, y)"),
    ],
)
def test_casts(before, wanted):
    assert after(cast, before)[-1] == wanted


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("c = tl.full([1], 0.5, tl.float32)\na = x * c", "a = x * 0.5"),
        ("a = x + tl.full([1], 2, tl.int32).to(tl.float32)", "a = x + 2.0"),
        ("a = maximum(tl.full([1], 0, tl.int32), x)", "a = maximum(0, x)"),
        ("a = tl.where(i < n, x, tl.full([1], 0.0, tl.float32))", "a = tl.where(i < n, x, 0.0)"),
        ("a = i < tl.full([1], 7, tl.int64)", "a = i < 7"),
        (
            "k = i + 1\na = tl.where(i < n, k, tl.full(k.shape, 0.0, k.dtype))",
            "a = tl.where(i < n, k, 0)",
        ),
        # float32 would become bfloat16, or int64 int32: another result
        ("a = y * tl.full([1], 0.5, tl.float32)", None),
        ("a = i + tl.full([1], 7, tl.int64)", None),
        ("a = maximum(y, tl.full([1], 0.5, tl.bfloat16))", None),
        ("a = sort_values(x, tl.full([1], 2, tl.int32), 1)", None),
        ("a = tl.full([1], 2.0, tl.float32) * tl.full([1], 3.0, tl.float32)", None),
    ],
)
def test_literals(before, wanted):
    assert after(literal, before)[-1] == (wanted or before)


def inlined(function):
    copy_names(function)
    drop_unread(function)
    inline_temporaries(function)
    drop_unread(function)


def test_a_temporary_read_once_is_written_where_it_is_read():
    text = "a = x * 2.0\nb = a + 1.0\nc = b\ntl.store(x_ptr + i, c)"
    assert after(inlined, text) == ["tl.store(x_ptr + i, x * 2.0 + 1.0)"]


def test_what_is_read_twice_stays():
    text = "a = x * 2.0\ntl.store(x_ptr + i, a * a)"
    assert after(inlined, text) == ["a = x * 2.0", "tl.store(x_ptr + i, a * a)"]


def test_a_load_stays_before_the_store_that_may_change_it():
    text = "z = tl.load(x_ptr + i + 1)\ntl.store(x_ptr + i, y)\ntl.store(y_ptr + i, z)"
    assert after(inlined, text) == text.splitlines()


def test_nothing_moves_past_a_change_of_what_it_is_made_of_nor_into_a_loop():
    text = """
acc = x
a = acc * 2.0
for k in range(n):
    acc = acc + a
b = acc * 3.0
acc = acc + 1.0
tl.store(x_ptr + i, b + acc)
"""
    assert after(inlined, text) == text.strip().splitlines()


def test_long_expressions_keep_their_names():
    lines = ["a0 = x + 1.0", *(f"a{k} = a{k - 1} * {k}.5 + y" for k in range(1, 9))]
    found = after(inlined, "\n".join([*lines, "tl.store(x_ptr + i, a8)"]))
    assert 2 <= len(found) < len(lines)
    assert all(len(line) <= 100 for line in found)


def test_unread_assignments_go_in_loops_too_and_stores_stay():
    text = "for k in range(n):\n    r = k + 1\n    u = r\n    tl.atomic_add(x_ptr + k, 1.0)"
    function = parsed(text)
    drop_unread(function)
    assert body(function) == ["for k in range(n):", "    tl.atomic_add(x_ptr + k, 1.0)"]


def test_a_sum_over_a_number_keeps_its_name():
    text = "s = tl.sum(x, 0)\nm = s / 64.0\ntl.store(x_ptr + i, x - m)"
    assert after(inlined, text) == text.splitlines()


def test_what_is_computed_twice_is_computed_once():
    text = (
        "a = libdevice.exp(x)\nb = libdevice.exp(x)\nc = a + b\nd = b + a\ntl.store(x_ptr, c * d)"
    )
    assert after(drop_repeats, text) == [
        "a = libdevice.exp(x)",
        "c = a + a",
        "tl.store(x_ptr, c * c)",
    ]


def test_values_that_change_are_computed_again():
    text = "a = x\nfor k in range(n):\n    b = a + 1.0\n    a = b * 2.0\n    c = a + 1.0\n    a = c"
    function = parsed(text)
    drop_repeats(function)
    assert body(function) == text.splitlines()


def test_each_value_of_a_name_has_a_name_of_its_own():
    text = "k = i + 1\na = tl.load(x_ptr + k)\nk = i + 2\nb = tl.load(x_ptr + k)\nk = k * 2\nc = k"
    assert after(separate_versions, text) == [
        "k__1 = i + 1",
        "a = tl.load(x_ptr + k__1)",
        "k__2 = i + 2",
        "b = tl.load(x_ptr + k__2)",
        "k__3 = k__2 * 2",
        "c = k__3",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "k = 0\nfor j in range(n):\n    a = k + 1\n    k = a",  # carried round the loop
        "k = 0\nk += 1\na = k",
        "k = 0\nif n > 1:\n    k = 1\na = k",
        "k, j = (1, 2)\nk = k + 1\na = k",
    ],
)
def test_a_variable_that_lives_on_stays_one(text):
    function = parsed(text)
    separate_versions(function)
    assert body(function) == text.splitlines()


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("T: tl.constexpr = tl.int32\na = x.to(T)", "a = x.to(tl.int32)"),
        ("s = 1\na = i * s + 0", "a = i"),
        ("g = 0\na = g * IN_C + i", "a = i"),
        ("a = 0 * i + x", "a = 0 * i + x"),
        ("a = i + -1 * n", "a = i - n"),
        ("a = -3 + i", "a = i - 3"),
        ("a = i // 1", "a = i"),
    ],
)
def test_settings_zeros_and_ones(before, wanted):
    assert after(settle_constants, before)[-1] == wanted


def test_products_name_their_precision():
    def run(function):
        write_products(function, KINDS)

    keywords = "allow_tf32=False, out_dtype=tl.float32"
    assert after(run, f"a = tl.dot(x, x, {keywords})") == [
        "a = tl.dot(x, x, input_precision='ieee')"
    ]
    assert after(run, f"a = tl.dot(y, y, {keywords})") == ["a = tl.dot(y, y)"]
    assert after(run, "a = tl.dot(x, x, allow_tf32=True)") == [
        "a = tl.dot(x, x, input_precision='tf32')"
    ]
    assert after(run, "a = tl.dot(q, q, allow_tf32=FLAG)") == ["a = tl.dot(q, q, allow_tf32=FLAG)"]


def test_a_parameter_that_is_assigned_changes():
    text = "a = tl.exp(n)\nb = n\nn = b + 1\nc = tl.exp(n)\ntl.store(x_ptr, a + b + c)"
    function = parsed(text)
    separate_versions(function)
    inlined(function)
    drop_repeats(function)
    found = "\n".join(body(function))
    scope = {"tl": type("tl", (), {"exp": lambda v: 10 * v, "store": lambda p, v: v})}
    returned = found.replace("tl.store(x_ptr, ", "result = (")
    local = {"n": 2, **scope}
    exec(returned, local)
    assert local["result"] == 20 + 2 + 30


def test_library_functions_that_triton_names_itself():
    def run(function):
        name_functions(function, KINDS)

    assert after(run, "a = libdevice.rsqrt(x + 1.0)") == ["a = tl.rsqrt(x + 1.0)"]
    for other in ("a = libdevice.exp(x)", "a = libdevice.rsqrt(y)", "a = libdevice.tanh(x)"):
        assert after(run, other) == [other]
