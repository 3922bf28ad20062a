"""Quantisation: round trips, int8 rows, products with quantised weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.matmuls import matmul_limit
from builder.programs.families.registry import family
from builder.programs.shapes import HIDDEN, MATMUL, ROWS, draw, fitting
from builder.programs.spelling import activate

if TYPE_CHECKING:
    from random import Random

_ROUND_TRIPS: Forms = {
    "tensor": (("FakeQuantize", "TensorQuantDequant"), "Quantises with one scale and back."),
    "row": (("RowQuantDequant", "PerTokenFakeQuant"), "Quantises with a scale per row and back."),
    "channel": (
        ("ChannelFakeQuant", "PerChannelQDQ"),
        "Quantises with a scale per column and back.",
    ),
    "given": (("LearnedScaleQuant", "LSQuant"), "Quantises with learned scales and back."),
    "affine": (
        ("AffineFakeQuant", "ZeroPointQuant"),
        "Quantises with scale and zero point and back.",
    ),
}
_PRODUCTS: Forms = {
    "channel": (
        ("Int8Linear", "WeightOnlyInt8"),
        "A product with an int8 weight, scaled by channel.",
    ),
    "group": (
        ("GroupQuantLinear", "BlockScaledLinear"),
        "A product with an int8 weight, scaled by group.",
    ),
    "packed": (
        ("PackedInt4Linear", "Int4Matmul"),
        "A product with a weight of two 4-bit values a byte.",
    ),
}


def _matrix(draft: Draft, scale: float = 1.0, budget: int = 1 << 20) -> str:
    draft.size("rows", draw(draft.rng, ROWS, high=1024))
    draft.size("columns", fitting(draft.rng, HIDDEN, budget // draft.values["rows"]))
    draft.vary("rows")
    return draft.normal("matrix", "rows columns", scale)


@family(level=2)
def fake_quantise(rng: Random) -> Draft:
    """Rounds to a grid and back; the scale is the data's own, or given."""
    draft = Draft(rng)
    form = draft.form(_ROUND_TRIPS, "Everything is computed in float32.")
    bits = rng.choice((8, 8, 4, 6))
    if bits < 8:
        draft.dtype = "float32"  # a coarse grid and short mantissas meet in exact ties
    x = _matrix(draft, rng.choice((1.0, 2.0)), 1 << 18)
    draft.forward(f"y = {x}.float()")
    if form == "affine":
        draft.forward(
            "low, high = y.amin(dim=-1, keepdim=True), y.amax(dim=-1, keepdim=True)",
            f"scale = (high - low).clamp(min=1e-6) / {2**bits - 1}",
            "zero_point = torch.round(-low / scale)",
            f"q = torch.clamp(torch.round(y / scale) + zero_point, 0, {2**bits - 1})",
            f"return ((q - zero_point) * scale).to({x}.dtype)",
        )
    else:
        _symmetric(draft, x, form, 2 ** (bits - 1) - 1)
    return draft


def _symmetric(draft: Draft, x: str, form: str, top: int) -> None:
    """Lines of a symmetric round trip with integers up to ``top``."""
    scale = "scale"
    if form == "given":
        draft.arguments_of("columns")
        draft.init("self.scale = nn.Parameter(torch.rand($columns) * 0.02 + 0.01)")
        scale = "self.scale.float()" if draft.dtype != "float32" else "self.scale"
    else:
        axes = {"tensor": "", "row": "dim=-1, keepdim=True", "channel": "dim=0, keepdim=True"}
        draft.forward(f"scale = y.abs().amax({axes[form]}).clamp(min=1e-6) / {top}")
    rounded = draft.pick(f"torch.round(y / {scale})", f"(y / {scale}).round()")
    clamped = draft.pick(
        f"{rounded}.clamp(-{top + 1}, {top})", f"torch.clamp({rounded}, -{top}, {top})"
    )
    draft.forward(f"q = {clamped}")
    if draft.rng.random() < 0.3:
        draft.doc = "Mean squared error of a quantisation round trip, by row."
        draft.class_name = draft.pick("QuantizationError", "RoundTripError")
        draft.forward(f"error = y - q * {scale}", "return error.square().mean(dim=-1)")
    else:
        draft.forward(f"return (q * {scale}).to({x}.dtype)")


@family(level=3)
def int8_rows(rng: Random) -> Draft:
    """Dynamic quantisation to int8 with one scale a row, as before an int8 product."""
    draft = Draft(rng)
    draft.title(
        ("RowQuantizer", "Int8Rows", "PerTokenQuant", "DynamicQuantize", "ActivationQuant"),
        "Quantises each row to int8 and returns the scales.",
        "The largest magnitude of a row maps to 127.",
    )
    draft.returns = "tuple[torch.Tensor, torch.Tensor]"
    x = _matrix(draft)
    if rng.random() < 0.4:
        smooth = draft.positive(("smooth", "smoothing"), "columns", 0.5, 1.0)
        draft.forward(f"{x} = {x} / {smooth}")
    elif rng.random() < 0.5:
        draft.forward(f"{x} = {activate(draft, x, ('gelu', 'silu', 'relu'))}")
    rounded = draft.pick("torch.round(y / scale)", "(y / scale).round()")
    cast = draft.pick("to(torch.int8)", "clamp(-128, 127).to(torch.int8)")
    draft.forward(
        f"y = {x}.float()",
        "scale = y.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5) / 127.0",
        f"q = {rounded}.{cast}",
        f"return q, {draft.pick('scale', 'scale.squeeze(-1)')}",
    )
    return draft


@family(level=3)
def quantised_matmul(rng: Random) -> Draft:
    """Weight-only quantisation: int8 by channel or by group, int4 packed in bytes."""
    draft = Draft(rng, ("float32", "bfloat16", "bfloat16", "float16"))
    form = draft.form(_PRODUCTS, "The weight is dequantised on the fly.")
    limit, group = matmul_limit(draft), rng.choice((32, 64))
    multiple = {"packed": 2, "group": group, "channel": 1}[form]
    draft.size("rows", draw(rng, MATMUL, high=min(limit, 512)))
    draft.size("in_features", draw(rng, MATMUL, high=limit, multiple=multiple))
    draft.size("out_features", draw(rng, MATMUL, high=limit))
    draft.vary("rows")
    x = draft.normal("matrix", "rows in_features")
    if form == "packed":
        _packed_weight(draft, x)
    else:
        _int8_weight(draft, x, group if form == "group" else 0)
    product = draft.pick(f"{x} @ w.t()", f"F.linear({x}, w)", f"torch.matmul({x}, w.t())")
    if rng.random() < 0.4:
        bias = draft.normal("bias", "out_features", 0.5)
        product = f"{product} + {bias}"
    draft.forward(f"return {product}")
    return draft


def _packed_weight(draft: Draft, x: str) -> None:
    half = draft.values["in_features"] // 2
    template = f"torch.randint(0, 256, ($out_features, {half}), dtype=torch.uint8)"
    packed = draft.input(("packed", "qweight"), template, "uint8")
    scale = draft.positive(("scale", "scales"), "out_features 1", 0.005, 0.02)
    draft.forward(
        f"low = ({packed} & 0x0F).to({x}.dtype) - 8",
        f"high = ({packed} >> 4).to({x}.dtype) - 8",
        f"w = torch.stack((low, high), dim=-1).flatten(1) * {scale}",
    )


def _int8_weight(draft: Draft, x: str, group: int) -> None:
    template = "torch.randint(-128, 128, ($out_features, $in_features), dtype=torch.int8)"
    weight = draft.input(("qweight", "weight", "w_int8"), template, "int8")
    if group:
        groups = draft.values["in_features"] // group
        scale = draft.positive(("scale", "scales"), f"out_features {groups} 1", 0.0005, 0.002)
        draft.forward(f"w = {weight}.to({x}.dtype).unflatten(1, ({groups}, {group}))")
        draft.forward(f"w = (w * {scale}).flatten(1)")
    else:
        scale = draft.positive(("scale", "scales"), "out_features", 0.0005, 0.002)
        column = draft.pick("[:, None]", ".unsqueeze(1)")
        draft.forward(f"w = {weight}.to({x}.dtype) * {scale}{column}")
