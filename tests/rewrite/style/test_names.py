"""Names of what a kernel works on."""

import keyword

import pytest

from builder.rewrite.style.inline import reads_of, stores_of
from builder.rewrite.style.names import Hints, Names, _shortened
from builder.rewrite.style.shared import share_addresses
from builder.rewrite.style.sizes import name_sizes

from .text import body, parsed

POINTWISE = """
xindex = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)
xmask = xindex < xnumel
x0 = xindex % 64
x1 = xindex // 64
tmp0 = tl.load(in_ptr0 + xindex, mask=xmask)
tmp1 = tl.load(in_ptr1 + x0, mask=xmask)
tmp2 = tmp0 * tl.sigmoid(tmp1)
tmp3 = tmp2 + tmp2 * tmp2
tl.store(out_ptr0 + (x1 + 24 * x0), tmp3, mask=xmask)
"""
REDUCTION = """
xindex = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)[:, None]
xmask = xindex < xnumel
r0_base = tl.arange(0, R0_BLOCK)[None, :]
_tmp3 = tl.zeros([XBLOCK, R0_BLOCK], dtype=tl.float32)
for r0_offset in tl.range(0, r0_numel, R0_BLOCK):
    r0_index = r0_offset + r0_base
    r0_mask = r0_index < r0_numel
    tmp0 = tl.load(in_ptr0 + (r0_index + 500 * xindex), mask=r0_mask & xmask, other=0.0)
    _tmp3 = tl.where(r0_mask & xmask, _tmp3 + tmp0 * tmp0, _tmp3)
tmp3 = tl.sum(_tmp3, 1)[:, None]
tmp4 = tmp3 / 500.0
for r0_offset in tl.range(0, r0_numel, R0_BLOCK):
    r0_index = r0_offset + r0_base
    r0_mask = r0_index < r0_numel
    tmp5 = tl.load(in_ptr0 + (r0_index + 500 * xindex), mask=r0_mask & xmask, other=0.0)
    tmp6 = tmp5 * libdevice.rsqrt(tmp4 + 1e-05)
    tl.store(out_ptr0 + (r0_index + 500 * xindex), tmp6, mask=r0_mask & xmask)
"""


def named(text, signature, words, sizes=(), taken=()):
    function = parsed(text, signature)
    share_addresses(function)
    Names(function, Hints(words), taken).apply()
    name_sizes(function, dict(sizes))
    return [item.arg for item in function.args.args], body(function)


def test_an_elementwise_kernel():
    words = {"in_ptr0": "x_ptr", "in_ptr1": "gate_ptr", "out_ptr0": "y_ptr"}
    signature = "in_ptr0, in_ptr1, out_ptr0, xnumel, XBLOCK: tl.constexpr"
    parameters, lines = named(POINTWISE, signature, words, {64: "channels"})
    assert parameters == ["x_ptr", "gate_ptr", "y_ptr", "num_elements", "BLOCK_SIZE"]
    assert lines == [
        "CHANNELS: tl.constexpr = 64",
        "COL_STRIDE: tl.constexpr = 24",
        "offsets = tl.program_id(0) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)",
        "mask = offsets < num_elements",
        "col = offsets % CHANNELS",
        "row = offsets // CHANNELS",
        "x = tl.load(x_ptr + offsets, mask=mask)",
        "gate = tl.load(gate_ptr + col, mask=mask)",
        "x_times_sigmoid_gate = x * tl.sigmoid(gate)",
        "y = x_times_sigmoid_gate + x_times_sigmoid_gate * x_times_sigmoid_gate",
        "tl.store(y_ptr + (row + COL_STRIDE * col), y, mask=mask)",
    ]


def test_loops_of_a_reduction_share_their_names():
    words = {"in_ptr0": "x_ptr", "out_ptr0": "normed_ptr"}
    signature = "in_ptr0, out_ptr0, xnumel, r0_numel, XBLOCK: tl.constexpr, R0_BLOCK: tl.constexpr"
    parameters, lines = named(REDUCTION, signature, words)
    assert parameters[2:] == ["num_rows", "num_cols", "BLOCK_ROWS", "BLOCK_COLS"]
    assert lines.count("    col = col_start + col_lane") == 2
    assert lines.count("    mask = col_mask & row_mask") == 2
    assert "    offsets = col + ROW_STRIDE * row" in lines
    assert "x_squared_mean = x_squared_sum / 500.0" in lines
    assert "    tl.store(normed_ptr + offsets, normed, mask=mask)" in lines


def test_no_name_is_given_twice_nor_taken_from_others():
    text = "tmp0 = tl.load(a_ptr)\ntmp1 = tl.load(a_ptr + 1)\ntl.store(b_ptr, helper(tmp0, tmp1))"
    words = {"a_ptr": "helper_ptr", "b_ptr": "helper_ptr"}
    parameters, lines = named(text, "a_ptr, b_ptr", words, taken=["helper"])
    assert len({*parameters}) == 2
    assert "helper" not in {line.partition(" = ")[0] for line in lines}
    assert lines[-1].startswith("tl.store(helper_b_ptr, helper(")


def test_parameters_of_two_branches_have_two_names():
    text = "if pid == 0:\n    a = xnumel_0\nelse:\n    a = xnumel_1"
    parameters, _ = named(text, "xnumel_0, xnumel_1", {})
    assert parameters == ["num_elements", "num_elements_b"]


WINDOW = """
xindex = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)
tmp0 = tl.load(in_ptr0 + (xindex - 1 - ks0))
tmp1 = tl.load(in_ptr0 + (xindex - ks0))
tmp2 = tl.load(in_ptr0 + (xindex - 1))
tmp3 = tl.load(in_ptr0 + xindex)
tmp4 = (tmp0 + tmp1) * (tmp2 + tmp3)
tl.store(out_ptr0 + xindex, tmp4)
"""


CORNERS = ("top_left", "top", "top_right", "left", "middle", "right", "bottom_left", "bottom",
           "bottom_right")  # fmt: skip


def loaded(lines):
    return [line.partition(" = ")[0] for line in lines if "= tl.load" in line]


def test_neighbours_are_called_after_where_they_lie():
    signature = "in_ptr0, out_ptr0, ks0, XBLOCK: tl.constexpr"
    words = {"in_ptr0": "image_ptr", "out_ptr0": "y_ptr", "ks0": "width"}
    _, lines = named(WINDOW, signature, words)
    corners = ["top_left_image", "top_right_image", "bottom_left_image", "bottom_right_image"]
    assert loaded(lines) == corners


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["9 * x0", "9 * x0 + 1"], ["first_taps", "second_taps"]),
        (["4 * x0 + 2", "4 * x0", "4 * x0"], ["second_taps", "first_taps", "first_taps_again"]),
        (["x0", "x1"], ["taps", "taps_by_row"]),
        (
            [f"9 * x0 + {place}" for place in range(9)],
            [f"{place}_taps" for place in CORNERS],
        ),
    ],
)
def test_elements_are_called_after_their_place_or_their_index(places, names):
    lines = ["x0 = xindex % 64", "x1 = xindex // 64"]
    lines += [f"tmp{n} = tl.load(in_ptr0 + ({place}))" for n, place in enumerate(places)]
    lines.append(f"tl.store(out_ptr0, {' + '.join(f'tmp{n}' for n in range(len(places)))})")
    words = {"in_ptr0": "taps_ptr", "out_ptr0": "y_ptr"}
    _, found = named("\n".join(lines), "in_ptr0, out_ptr0, xindex", words)
    assert loaded(found) == names


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("x + y", "x.to(tl.int32)", "x_int"),
        ("x + y", "tl.where(y > 0, x, 0.0)", "x_or_zero"),
        ("x + y", "x[:, None]", "x_column"),
        ("(x > 0) & (y > 0)", "(x < 9) & (y < 9)", "x_y_mask"),
    ],
)
def test_a_second_value_is_called_after_what_makes_it(first, second, name):
    text = f"x = tl.load(p)\ny = tl.load(q)\nmask = x\ntmp0 = {first}\ntmp1 = {second}\n"
    text += "tl.store(r, tmp0 + tmp1)"
    text = text.replace("x", "tmp8").replace("y", "tmp9").replace("mask = tmp8\n", "mask = p\n")
    _, lines = named(text, "p, q, r", {"p": "x_ptr", "q": "y_ptr", "r": "out_ptr"})
    assert any(line.startswith(f"{name} = ") for line in lines), lines


def test_a_templates_names_are_words():
    text = "pid_m = tl.program_id(0)\nrm = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)\n"
    text += "idx_m = rm[:, None]\ntl.store(out_ptr0 + idx_m, rm)"
    _, lines = named(text, "out_ptr0, BLOCK_M: tl.constexpr", {"out_ptr0": "y_ptr"})
    assert [line.partition(" = ")[0] for line in lines[:-1]] == ["tile_row", "out_rows", "row"]


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("a = tl.load(p + (i + 2 * j))\nb = tl.load(q + (i + 2 * j))", True),
        ("a = tl.load(p + (i + 2 * j))\ni = i + 1\nb = tl.load(q + (i + 2 * j))", False),
        ("a = tl.load(p + (i + 2 * j))\nb = tl.load(q + (i + 3 * j))", False),
    ],
)
def test_an_address_is_shared_unless_it_changes(text, shared):
    function = parsed(text, "p, q, i, j")
    share_addresses(function)
    assert body(function)[0].startswith("offsets__1 = i + 2 * j") == shared


def test_a_shared_address_is_made_before_it_is_read():
    """One address may be a part of another that comes before it."""
    addresses = ["i - 1 - w", "i - 1", "i - 1 - w", "i - 1"]
    text = "\n".join(f"a{n} = tl.load(p + ({text}))" for n, text in enumerate(addresses))
    function = parsed(text, "p, i, w")
    share_addresses(function)
    known = {"p", "i", "w", "tl"}
    for statement in function.body:
        assert set(reads_of(statement)) <= known
        known |= set(stores_of(statement))
    assert [line for line in body(function) if "offsets__" in line.partition(" = ")[0]] == [
        "offsets__1 = i - 1 - w",
        "offsets__2 = i - 1",
    ]


def test_names_are_identifiers_whatever_the_words():
    text = "tmp0 = tl.load(a_ptr)\ntmp1 = tmp0 - tl.load(b_ptr)\ntmp2 = tl.abs(tmp1)\n"
    text += "tl.store(c_ptr, tmp2 * tmp2)"
    words = {"a_ptr": "some_long_list_of_tensors_0_ptr", "b_ptr": "lambda_ptr", "c_ptr": "2d_ptr"}
    parameters, lines = named(text, "a_ptr, b_ptr, c_ptr", words)
    assert all(name.isidentifier() for name in parameters)
    stored = [line.partition(" = ")[0] for line in lines[:-1]]
    assert all(name.isidentifier() and not keyword.iskeyword(name) for name in stored)


@pytest.mark.parametrize(
    ("word", "short"),
    [
        ("features_size3_features_size2_product", "features_size3"),
        ("row", "row"),
        ("attention_probabilities_after_dropout", "attention"),
        ("x" * 40, "x" * 28),
    ],
)
def test_long_names_end_with_a_word(word, short):
    assert _shortened(word) == short
