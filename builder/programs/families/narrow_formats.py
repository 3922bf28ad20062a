"""Narrow formats: blocks with shared power-of-two scales, packed 4-bit weights, 8-bit floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.matmuls import matmul_limit
from builder.programs.families.registry import family
from builder.programs.shapes import HIDDEN, MATMUL, ROWS, draw, fitting
from builder.programs.spelling import activate

if TYPE_CHECKING:
    from random import Random

_BLOCKS: Forms = {
    "uniform": (
        ("BlockFakeQuant", "MXIntQuantize", "SharedExponentQuant"),
        "Rounds blocks to integers times a shared power of two.",
    ),
    "e2m1": (
        ("MXFP4Quantize", "BlockFP4", "FourBitFloatBlocks"),
        "Rounds blocks to 4-bit floats times a shared power of two.",
    ),
    "e4m3": (
        ("MXFP8Quantize", "BlockFP8", "MicroscalingCast"),
        "Rounds blocks to 8-bit floats times a shared power of two.",
    ),
}
_TOP_EXPONENT = {"uniform": 0, "e2m1": 2, "e4m3": 8}


@family(level=3)
def block_scaled_quantise(rng: Random) -> Draft:
    """Rouhani et al., Microscaling Data Formats for Deep Learning, 2023.

    A division by a power of two is exact, so that ties are ties in every computation.
    """
    draft = Draft(rng)
    form = draft.form(_BLOCKS, "The scale of a block follows from its largest magnitude.")
    rows = draft.size("rows", draw(rng, ROWS, high=1024))
    columns = fitting(rng, HIDDEN, (1 << 18) // rows, low=64)
    block = draft.rng.choice((32, 32, 32, 16, 64))
    draft.size("columns", max(1, columns // block) * block)
    draft.argument("block", block)
    draft.vary("rows")
    x = draft.normal("matrix", "rows columns", rng.choice((1.0, 2.0, 3.0)))
    value = x if draft.dtype == "float32" else f"{x}.float()"
    largest = draft.pick("blocks.abs().amax(dim=-1, keepdim=True)", "blocks.abs().amax(-1, True)")
    draft.forward(
        f"blocks = {value}.unflatten(-1, (-1, $block))",
        f"largest = {largest}.clamp(min={draft.pick('1e-12', '1e-10')})",
    )
    is_shown = _scale(draft, _TOP_EXPONENT[form])
    draft.forward(f"scaled = {draft.pick('blocks / scale', 'torch.div(blocks, scale)')}")
    _rounded(draft, form)
    result = f"(rounded * scale).flatten(-2){'' if draft.dtype == 'float32' else f'.to({x}.dtype)'}"
    if is_shown:
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        result += ", exponent.squeeze(-1)"
    draft.forward(f"return {result}")
    return draft


def _scale(draft: Draft, top: int) -> bool:
    """Lines of the scale, 2 to the exponent of the largest magnitude; whether to return it, too."""
    minus = f" - {top}" if top else ""
    if draft.rng.random() < 0.35:
        draft.forward(f"exponent = (largest.view(torch.int32) >> 23) - 127{minus}")
        draft.forward("scale = ((exponent + 127) << 23).view(torch.float32)")
    else:
        draft.forward(
            "exponent = "
            + draft.pick("torch.floor(torch.log2(largest))", "largest.log2().floor()")
            + minus,
            f"scale = {draft.pick('torch.exp2(exponent)', 'exponent.exp2()')}",
        )
    return draft.rng.random() < 0.35


def _rounded(draft: Draft, form: str) -> None:
    """Lines from scaled values to the format's grid."""
    if form == "uniform":
        fraction = 2 ** draft.rng.choice((2, 4, 6))
        draft.forward(
            draft.pick(
                f"steps = torch.round(scaled * {fraction})",
                f"steps = (scaled * {fraction}).round()",
            ),
            f"rounded = steps.clamp({1 - 2 * fraction}, {2 * fraction - 1}) / {fraction}",
        )
    elif form == "e2m1":
        if draft.rng.random() < 0.5:
            draft.forward(
                "size = scaled.abs()",
                "step = torch.where(size < 2.0, 0.5, torch.where(size < 4.0, 1.0, 2.0))",
            )
        else:
            draft.forward("step = 0.5 + 0.5 * (scaled.abs() >= 2.0) + 1.0 * (scaled.abs() >= 4.0)")
        draft.forward("rounded = (torch.round(scaled / step) * step).clamp(-6.0, 6.0)")
    else:
        clamped = draft.pick("scaled.clamp(-448.0, 448.0)", "torch.clamp(scaled, -448.0, 448.0)")
        draft.forward(f"rounded = {clamped}.to(torch.float8_e4m3fn).float()")


_PACKED: Forms = {
    "bytes": (
        ("PackedInt4Linear", "Int4WeightLinear", "NibbleLinear"),
        "A product with a weight of two 4-bit values a byte.",
    ),
    "words": (
        ("GPTQLinear", "Int32PackedLinear", "WordPackedLinear"),
        "A product with a weight of eight 4-bit values a word, scaled by group.",
    ),
    "split": (
        ("SplitNibbleLinear", "HalvesInt4Linear"),
        "The low and the high 4-bit values are multiplied apart and never interleaved.",
    ),
    "levels": (
        ("CodebookLinear", "LookupInt4Linear", "NormalFloatLinear"),
        "A product with a weight of 4-bit indices into a table of levels.",
    ),
}


@family(level=3)
def packed_int4_linear(rng: Random) -> Draft:
    """Frantar et al., GPTQ, 2023; levels: Dettmers et al., QLoRA, 2023."""
    draft = Draft(rng, ("float32", "bfloat16", "bfloat16", "float16"))
    form = draft.form(_PACKED, "The weight is unpacked and scaled on the fly.")
    limit, group = matmul_limit(draft), rng.choice((32, 64, 128))
    draft.size("rows", draw(rng, MATMUL, high=min(limit, 512)))
    features = draft.size("in_features", draw(rng, MATMUL, 256, limit, multiple=group))
    draft.size("out_features", draw(rng, MATMUL, high=limit))
    draft.vary("rows")
    x = draft.normal("matrix", "rows in_features")
    groups = features // group
    scale = draft.positive(("scale", "scales"), f"out_features {groups} 1", 0.005, 0.02)
    if form == "split":
        result = _split(draft, x, scale, group)
    else:
        unpack = {"bytes": _bytes, "words": _words, "levels": _levels}[form]
        cast = "" if form == "levels" else f".to({x}.dtype)"
        draft.forward(f"q = {unpack(draft)}{cast}.unflatten(1, (-1, {group}))")
        zero = "" if form == "levels" else f" - {_zero_point(draft, groups, x)}"
        value = f"(q{zero})" if zero else "q"
        draft.forward(f"w = ({value} * {scale}).flatten(1)")
        result = draft.pick(f"{x} @ w.t()", f"F.linear({x}, w)", f"torch.matmul({x}, w.mT)")
    if rng.random() < 0.4:
        bias = draft.normal("bias", "out_features", 0.5)
        result = f"{result} + {bias}"
    elif rng.random() < 0.3:
        draft.forward(f"y = {result}")
        result = activate(draft, "y", ("relu", "gelu", "silu"))
    draft.forward(f"return {result}")
    return draft


def _packed(draft: Draft, per: int, kind: str = "uint8") -> str:
    bounds = "0, 256" if kind == "uint8" else "-(2**31), 2**31"
    count = draft.values["in_features"] // per
    template = f"torch.randint({bounds}, ($out_features, {count}), dtype=torch.{kind})"
    return draft.input(("packed", "qweight", "weight_packed"), template, kind)


def _zero_point(draft: Draft, groups: int, x: str) -> str:
    """The value that stands for zero: one for all, or one a group."""
    if draft.rng.random() < 0.5:
        return "8"
    template = f"torch.randint(0, 16, ($out_features, {groups}, 1), dtype=torch.uint8)"
    zeros = draft.input(("zeros", "zero_points", "qzeros"), template, "uint8")
    return f"{zeros}.to({x}.dtype)"


def _nibbles(draft: Draft, packed: str) -> tuple[str, str]:
    mask = draft.pick("0x0F", "0xF", "15")
    return f"{packed} & {mask}", f"{packed} >> 4"


def _bytes(draft: Draft) -> str:
    low, high = _nibbles(draft, _packed(draft, 2))
    draft.forward(f"low, high = {low}, {high}")
    return draft.pick(
        "torch.stack((low, high), dim=-1).flatten(1)", "torch.cat((low, high), dim=1)"
    )


def _words(draft: Draft) -> str:
    packed = _packed(draft, 8, "int32")
    shifts = f"torch.arange(0, 32, 4, device={packed}.device, dtype=torch.int32)"
    draft.forward(
        f"shifts = {shifts}",
        f"nibbles = ({packed}.unsqueeze(-1) >> shifts) & {draft.pick('0xF', '15')}",
    )
    return "nibbles.flatten(1)"


def _levels(draft: Draft) -> str:
    low, high = _nibbles(draft, _packed(draft, 2))
    draft.init("self.levels = nn.Parameter(8.0 * torch.linspace(-1.0, 1.0, 16$dt) ** 3)")
    draft.forward(f"index = torch.stack(({low}, {high}), dim=-1).flatten(1)")
    return draft.pick("self.levels[index.long()]", "self.levels[index.int()]")


def _split(draft: Draft, x: str, scale: str, group: int) -> str:
    """Even columns meet the low halves, odd ones the high halves."""
    low, high = _nibbles(draft, _packed(draft, 2))
    for name, half in (("low", low), ("high", high)):
        draft.forward(
            f"{name} = (({half}).to({x}.dtype) - 8).unflatten(1, (-1, {group // 2}))",
            f"{name} = ({name} * {scale}).flatten(1)",
        )
    return draft.pick(
        f"{x}[:, ::2] @ low.t() + {x}[:, 1::2] @ high.t()",
        f"F.linear({x}[:, ::2], low) + F.linear({x}[:, 1::2], high)",
    )


_CASTS: Forms = {
    "tensor": (
        ("FP8Cast", "TensorwiseFP8", "DynamicFP8"),
        "To 8-bit floats with one scale and back.",
    ),
    "row": (("RowwiseFP8", "PerTokenFP8"), "To 8-bit floats with a scale for each row and back."),
    "given": (
        ("DelayedScalingFP8", "StaticFP8Cast"),
        "To 8-bit floats with a given scale and back.",
    ),
    "product": (("FP8Linear", "FakeFP8Matmul"), "A product of matrices rounded to 8-bit floats."),
}


@family(level=3)
def fp8_cast(rng: Random) -> Draft:
    """Micikevicius et al., FP8 Formats for Deep Learning, 2022."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    form = draft.form(_CASTS, "The largest finite value of the format is 448.")
    if form == "product":
        _rounded_product(draft)
        return draft
    rows = draft.size("rows", draw(rng, ROWS, high=1024))
    draft.size("columns", fitting(rng, HIDDEN, (1 << 18) // rows))
    draft.vary("rows")
    x = draft.normal("matrix", "rows columns", rng.choice((1.0, 2.0, 4.0)))
    value = x if draft.dtype == "float32" else f"{x}.float()"
    if rng.random() < 0.4:
        draft.forward(
            f"y = {activate(draft, value, ('gelu', 'silu', 'tanh', 'relu'), module=False)}"
        )
        value = "y"
    elif value != x:
        draft.forward(f"y = {value}")
        value = "y"
    inverse = _inverse_scale(draft, form, value)
    draft.forward(f"q = {_cast(draft, f'{value} * {inverse}')}")
    back = draft.pick(f"q.float() / {inverse}", f"q.to(torch.float32) / {inverse}")
    cast = "" if draft.dtype == "float32" else f".to({x}.dtype)"
    draft.forward(f"return {_cast_back(back, cast)}")
    return draft


def _cast(draft: Draft, value: str) -> str:
    """The expression of a float32 value clamped and cast."""
    clamped = draft.pick(f"({value}).clamp(-448.0, 448.0)", f"torch.clamp({value}, -448.0, 448.0)")
    return f"{clamped}.to(torch.float8_e4m3fn)"


def _inverse_scale(draft: Draft, form: str, value: str, name: str = "inverse") -> str:
    """Lines of the factor before the cast; returns its name.

    Where the inputs' mantissas are short it is a power of two: elsewhere a ratio of two inputs may
    be an exact tie of the format that rounding decides.
    """
    if form == "given":
        return draft.positive(("inv_scale", "inverse_scale", "q_scale"), "1", 20.0, 80.0, "float32")
    axes = "" if form == "tensor" else "dim=-1, keepdim=True"
    draft.forward(f"largest = {value}.abs().amax({axes}).clamp(min=1e-6)")
    ratio = "448.0 / largest"
    if draft.dtype != "float32" or draft.rng.random() < 0.25:
        ratio = draft.pick(
            f"torch.exp2(torch.floor(torch.log2({ratio})))", f"({ratio}).log2().floor().exp2()"
        )
    draft.forward(f"{name} = {ratio}")
    return name


def _rounded_product(draft: Draft) -> None:
    """Rows of both operands have scales, which the product is divided by."""
    limit = matmul_limit(draft)
    draft.size("rows", draw(draft.rng, MATMUL, high=384))
    draft.size("in_features", draw(draft.rng, MATMUL, high=limit))
    draft.size("out_features", draw(draft.rng, MATMUL, high=384))
    draft.vary("rows")
    x = draft.normal("matrix", "rows in_features")
    w = draft.normal(("weight", "w", "kernel"), "out_features in_features", 0.05)
    x_scale = _rounded_operand(draft, x, "x", draft.pick("row", "tensor"))
    w_scale = _rounded_operand(draft, w, "w", "tensor")
    product = draft.pick("x_q @ w_q.t()", "torch.matmul(x_q, w_q.t())", "F.linear(x_q, w_q)")
    cast = "" if draft.dtype == "float32" else f".to({x}.dtype)"
    draft.forward(f"y = {product}", f"return {_cast_back(f'y / ({x_scale} * {w_scale})', cast)}")


def _rounded_operand(draft: Draft, operand: str, name: str, form: str) -> str:
    """Lines of an operand of a product, rounded; returns the name of the factor it carries."""
    value = operand
    if draft.dtype != "float32":
        value = f"{name}_wide"
        draft.forward(f"{value} = {operand}.float()")
    scale = _inverse_scale(draft, form, value, f"{name}_scale")
    draft.forward(f"{name}_q = {_cast(draft, f'{value} * {scale}')}.float()")
    return scale


def _cast_back(value: str, cast: str) -> str:
    return f"({value}){cast}" if cast else value
