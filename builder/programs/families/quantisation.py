"""Quantisation: round trips, int8 rows, products with quantised weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.matmuls import matmul_limit
from builder.programs.families.registry import family
from builder.programs.shapes import HIDDEN, MATMUL, ROWS, draw, fitting
from builder.programs.spelling import activate

if TYPE_CHECKING:
    from random import Random


def _matrix(draft: Draft) -> None:
    draft.size("rows", draw(draft.rng, ROWS, high=2048))
    draft.size("columns", fitting(draft.rng, HIDDEN, (1 << 20) // draft.values["rows"]))
    draft.vary("rows")


@family(level=2)
def fake_quantise(rng: Random) -> Draft:
    """Rounds to a grid and back; the scale is the data's own, or given."""
    draft = Draft(rng)
    draft.title(
        ("FakeQuantize", "QuantDequant", "QuantizationNoise", "SimulatedInt8", "GridRounding"),
        "Quantises to integers and back.",
        "Everything is computed in float32, so that rounding happens once.",
    )
    _matrix(draft)
    x = draft.normal("matrix", "rows columns", rng.choice((1.0, 2.0)))
    bits = rng.choice((8, 8, 4, 6))
    top = 2 ** (bits - 1) - 1
    kind = rng.choice(("tensor", "row", "channel", "given", "affine"))
    draft.forward(f"y = {x}.float()")
    if kind == "affine":
        draft.forward(
            "low, high = y.amin(dim=-1, keepdim=True), y.amax(dim=-1, keepdim=True)",
            f"scale = (high - low).clamp(min=1e-6) / {2**bits - 1}",
            "zero_point = torch.round(-low / scale)",
            f"q = torch.clamp(torch.round(y / scale) + zero_point, 0, {2**bits - 1})",
            f"return ((q - zero_point) * scale).to({x}.dtype)",
        )
        return draft
    if kind == "given":
        draft.arguments_of("columns")
        draft.init("self.scale = nn.Parameter(torch.rand($columns) * 0.02 + 0.01)")
        scale = "self.scale.float()"
    else:
        axis = {"tensor": "", "row": "dim=-1, keepdim=True", "channel": "dim=0, keepdim=True"}[kind]
        draft.forward(f"scale = y.abs().amax({axis}).clamp(min=1e-6) / {top}")
        scale = "scale"
    rounded = draft.pick(f"torch.round(y / {scale})", f"(y / {scale}).round()")
    clamped = draft.pick(
        f"{rounded}.clamp(-{top + 1}, {top})", f"torch.clamp({rounded}, -{top}, {top})"
    )
    draft.forward(f"q = {clamped}")
    ending = rng.choice(("value", "value", "error"))
    if ending == "error":
        draft.forward(f"error = y - q * {scale}", "return error.square().mean(dim=-1)")
    else:
        draft.forward(f"return (q * {scale}).to({x}.dtype)")
    return draft


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
    _matrix(draft)
    x = draft.normal("matrix", "rows columns")
    if rng.random() < 0.4:
        smooth = draft.positive(("smooth", "smoothing"), "columns", 0.5, 1.0)
        draft.forward(f"{x} = {x} / {smooth}")
    elif rng.random() < 0.5:
        draft.forward(f"{x} = {activate(draft, x, ('gelu', 'silu', 'relu'))}")
    draft.forward(f"y = {x}.float()")
    draft.forward("scale = y.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5) / 127.0")
    rounded = draft.pick("torch.round(y / scale)", "(y / scale).round()")
    cast = draft.pick("to(torch.int8)", "clamp(-128, 127).to(torch.int8)")
    draft.forward(f"q = {rounded}.{cast}")
    draft.forward(f"return q, {draft.pick('scale', 'scale.squeeze(-1)')}")
    return draft


@family(level=3)
def quantised_matmul(rng: Random) -> Draft:
    """Weight-only quantisation: int8 by channel, int4 packed in bytes, or int8 by group."""
    draft = Draft(rng, ("float32", "bfloat16", "bfloat16", "float16"))
    draft.title(
        ("Int8Linear", "WeightOnlyLinear", "DequantMatmul", "QuantizedLinear", "PackedLinear"),
        "A matrix product with a quantised weight.",
        "The weight is dequantised on the fly.",
    )
    limit = matmul_limit(draft)
    kind = rng.choice(("channel", "channel", "packed", "group"))
    group = rng.choice((32, 64))
    draft.size("rows", draw(rng, MATMUL, high=min(limit, 512)))
    multiple = 2 if kind == "packed" else group if kind == "group" else 1
    draft.size("in_features", draw(rng, MATMUL, high=limit, multiple=multiple))
    draft.size("out_features", draw(rng, MATMUL, high=limit))
    draft.vary("rows")
    x = draft.normal("matrix", "rows in_features")
    weight = draft.pick("qweight", "weight", "w_int8") if kind != "packed" else "packed"
    if kind == "packed":
        half = draft.values["in_features"] // 2
        bytes_ = f"torch.randint(0, 256, ($out_features, {half}), dtype=torch.uint8)"
        weight = draft.input(weight, bytes_, "uint8")
        draft.forward(
            f"low = ({weight} & 0x0F).to({x}.dtype) - 8",
            f"high = ({weight} >> 4).to({x}.dtype) - 8",
        )
        draft.forward("w = torch.stack((low, high), dim=-1).flatten(1)")
        scale = draft.positive(("scale", "scales"), "out_features 1", 0.005, 0.02)
        draft.forward(f"w = w * {scale}")
    else:
        ints = "torch.randint(-128, 128, ($out_features, $in_features), dtype=torch.int8)"
        weight = draft.input(weight, ints, "int8")
        if kind == "channel":
            scale = draft.positive(("scale", "scales"), "out_features", 0.0005, 0.002)
            draft.forward(
                f"w = {weight}.to({x}.dtype) * {scale}{draft.pick('[:, None]', '.unsqueeze(1)')}"
            )
        else:
            groups = draft.values["in_features"] // group
            draft.forward(f"w = {weight}.to({x}.dtype).unflatten(1, ({groups}, {group}))")
            scale = draft.positive(("scale", "scales"), f"out_features {groups} 1", 0.0005, 0.002)
            draft.forward(f"w = (w * {scale}).flatten(1)")
    product = draft.pick(f"{x} @ w.t()", f"F.linear({x}, w)", f"torch.matmul({x}, w.t())")
    if rng.random() < 0.4:
        bias = draft.normal("bias", "out_features", 0.5)
        product = f"{product} + {bias}"
    draft.forward(f"return {product}")
    return draft
