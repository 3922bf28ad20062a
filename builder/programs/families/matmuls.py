"""Matrix products with what people put around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.registry import family
from builder.programs.shapes import HEAD_DIM, MATMUL, SEQUENCE, draw
from builder.programs.spelling import FEED_FORWARD, activate, atom, matmul

if TYPE_CHECKING:
    from random import Random

MATMUL_DTYPES = ("float32", "float32", "bfloat16", "bfloat16", "float16")


def matmul_limit(draft: Draft) -> int:
    """Largest dimension of a product: float16 products are slow on a CPU."""
    return 384 if draft.dtype == "float16" else 768


def product_sizes(draft: Draft) -> None:
    """Declares rows, in_features and out_features."""
    limit = matmul_limit(draft)
    for role in ("rows", "in_features", "out_features"):
        draft.size(role, draw(draft.rng, MATMUL, high=limit))


def linear_init(draft: Draft, name: str, sizes: str = "$in_features, $out_features") -> str:
    """Registers a linear layer; returns a template of its call on ``{x}``."""
    if draft.rng.random() < 0.6:
        draft.init(f"self.{name} = nn.Linear({sizes}$dt)")
        return f"self.{name}({{x}})"
    rows, columns = sizes.split(", ")
    scale = draft.rng.choice(("0.02", "0.05", f"{rows}**-0.5"))
    draft.init(f"self.{name}_weight = nn.Parameter(torch.randn({columns}, {rows}$dt) * {scale})")
    draft.init(f"self.{name}_bias = nn.Parameter(torch.randn({columns}$dt) * 0.1)")
    return draft.pick(
        f"F.linear({{x}}, self.{name}_weight, self.{name}_bias)",
        f"{{x}} @ self.{name}_weight.t() + self.{name}_bias",
    )


@family(level=2)
def matmul_epilogue(rng: Random) -> Draft:
    draft = Draft(rng, MATMUL_DTYPES)
    draft.title(
        ("MatmulEpilogue", "FusedProjection", "MatmulBlock", "ProjectionHead", "GemmEpilogue"),
        "A matrix product followed by elementwise work.",
        "The epilogue is meant to be fused into the product.",
    )
    product_sizes(draft)
    draft.vary("rows")
    x = draft.normal("matrix", "rows in_features")
    if rng.random() < 0.5:
        draft.arguments_of("in_features", "out_features")
        draft.forward(f"y = {linear_init(draft, 'proj').format(x=x)}")
    else:
        scale = rng.choice((0.02, 0.05, 0.1))
        w = draft.normal(("weight", "w", "b", "other"), "in_features out_features", scale)
        draft.forward(f"y = {matmul(draft, x, w)}")
    for _ in range(rng.randint(1, 2)):
        draft.forward(*_epilogue(draft))
    if rng.random() < 0.6:
        draft.forward_lines[-1] = draft.forward_lines[-1].replace("y = ", "return ", 1)
    else:
        draft.forward("return y")
    return draft


def _epilogue(draft: Draft) -> list[str]:
    form = draft.rng.choice(("activation", "residual", "scale", "clamp", "gate", "bias"))
    if form == "residual":
        other = draft.normal("residual", "rows out_features")
        return [f"y = {draft.pick(f'y + {other}', f'{other} + y', f'torch.add(y, {other})')}"]
    if form == "scale":
        return [f"y = y * {draft.rng.choice((0.125, 0.5, 1.5, 2.0))}"]
    if form == "clamp":
        bound = draft.rng.choice((1.0, 2.0, 3.0))
        return [f"y = {draft.pick(f'y.clamp(-{bound}, {bound})', f'torch.clamp(y, max={bound})')}"]
    if form == "gate":
        gate = draft.normal(("gate", "modulation"), "rows out_features")
        return [f"y = y * torch.sigmoid({gate})"]
    if form == "bias":
        bias = draft.normal(("bias", "offset"), "out_features", 0.5)
        return [f"y = y + {bias}"]
    return [f"y = {activate(draft, 'y', (*FEED_FORWARD, 'tanh', 'sigmoid'))}"]


@family(level=3)
def linear_norm(rng: Random) -> Draft:
    draft = Draft(rng, MATMUL_DTYPES)
    draft.title(
        ("LinearNorm", "ProjectionNorm", "DenseNorm", "PatchProjection", "NormedLinear"),
        "A projection and a normalisation of its result.",
        "The statistics are taken over the output features.",
    )
    product_sizes(draft)
    draft.vary("rows")
    x = draft.normal("matrix", "rows in_features")
    draft.arguments_of("in_features", "out_features")
    draft.argument("eps", rng.choice((1e-5, 1e-6)))
    draft.forward(f"y = {linear_init(draft, draft.pick('proj', 'linear', 'fc')).format(x=x)}")
    form = rng.choice(("layer", "rms", "l2"))
    if form == "layer":
        draft.init("self.norm = nn.LayerNorm($out_features, eps=$eps$dt)")
        draft.normal_init("norm.weight", 1.0, 0.2)
        draft.normal_init("norm.bias", 0.0, 0.2)
        result = "self.norm(y)"
    elif form == "rms":
        draft.parameter("weight", "out_features", 0.2, 1.0)
        draft.forward("scale = torch.rsqrt(y.float().pow(2).mean(dim=-1, keepdim=True) + $eps)")
        result = "(y * scale).to(y.dtype) * self.weight"
        if draft.dtype == "float32":
            result = "y * scale * self.weight"
    else:
        draft.forward("norm = y.float().square().sum(dim=-1, keepdim=True).sqrt()")
        result = "y / (norm + $eps)"
    if rng.random() < 0.5:
        draft.forward(f"y = {result}", f"return {activate(draft, 'y', FEED_FORWARD)}")
    else:
        draft.forward(f"return {result}")
    return draft


@family(level=2)
def batched_matmul(rng: Random) -> Draft:
    draft = Draft(rng, MATMUL_DTYPES)
    draft.title(
        ("BatchedMatmul", "PairwiseScores", "BilinearScores", "HeadMixer", "BatchedProduct"),
        "One matrix product for each element of the batch, scaled.",
        "Operands are multiplied along the last dimension of the first.",
    )
    draft.size("batch", rng.choice((2, 3, 4, 6, 8, 12, 16)))
    limit = 64 if draft.dtype == "float16" else 256
    draft.size("rows", draw(rng, SEQUENCE, high=limit))
    draft.size("columns", draw(rng, SEQUENCE, high=limit))
    draft.size("features", draw(rng, HEAD_DIM))
    draft.vary("batch", "rows")
    a = draft.normal(("a", "x", "queries", "left"), "batch rows features")
    swapped = rng.random() < 0.5
    dims = "batch columns features" if swapped else "batch features columns"
    b = draft.normal(("b", "keys", "right", "y"), dims)
    second = draft.pick(f"{b}.transpose(1, 2)", f"{b}.mT") if swapped else b
    product = draft.pick(
        f"torch.bmm({a}, {second})", f"{a} @ {second}", f"torch.matmul({a}, {second})"
    )
    if swapped and rng.random() < 0.3:
        product = f'torch.einsum("bik,bjk->bij", {a}, {b})'
    draft.argument("scale", rng.choice((0.125, 0.1, 0.25, 0.08838834764831845)))
    draft.forward(f"scores = {product} * $scale")
    draft.forward(*_scored(draft))
    return draft


def _scored(draft: Draft) -> list[str]:
    form = draft.rng.choice(("bias", "tanh", "softmax", "square"))
    if form == "bias":
        bias = draft.normal(("bias", "prior"), "rows columns")
        return [f"return scores + {bias}"]
    if form == "softmax":
        return ["return torch.softmax(scores.float(), dim=-1).to(scores.dtype)"]
    if form == "square":
        return ["return scores.square().mean(dim=-1)"]
    draft.argument("cap", draft.rng.choice((5.0, 10.0, 30.0)))
    return ["return $cap * torch.tanh(scores / $cap)"]


@family(level=3)
def feed_forward(rng: Random) -> Draft:
    """The two-layer network of a transformer block, plain or gated, often with its residual."""
    draft = Draft(rng, MATMUL_DTYPES)
    draft.title(
        ("FeedForward", "MLP", "TransformerMLP", "PositionwiseFFN", "ChannelMLP"),
        "The position-wise feed-forward half of a transformer block.",
        "Expands to the inner size, applies the activation, projects back.",
    )
    _inner_sizes(draft)
    x = draft.normal("tokens", "rows hidden")
    draft.arguments_of("hidden", "inner")
    normed = x
    if rng.random() < 0.4:
        draft.init("self.norm = nn.LayerNorm($hidden$dt)")
        draft.normal_init("norm.weight", 1.0, 0.2)
        draft.normal_init("norm.bias", 0.0, 0.1)
        normed = f"self.norm({x})"
        if rng.random() < 0.6:
            draft.forward(f"y = {normed}")
            normed = "y"
    gated = rng.random() < 0.4 and normed.isidentifier()
    up = linear_init(draft, draft.pick("up", "fc1", "expand"), "$hidden, $inner").format(x=normed)
    if gated:
        gate = linear_init(draft, "gate", "$hidden, $inner").format(x=normed)
        draft.forward(f"gate = {gate}")
        draft.forward(f"h = {atom(activate(draft, 'gate', ('silu', 'gelu')))} * {atom(up)}")
    else:
        draft.forward(f"h = {up}", f"h = {activate(draft, 'h', FEED_FORWARD)}")
    down = linear_init(draft, draft.pick("down", "fc2", "project"), "$inner, $hidden").format(x="h")
    draft.forward(f"return {draft.pick(f'{x} + {down}', down)}")
    return draft


def _inner_sizes(draft: Draft) -> None:
    rng, half = draft.rng, draft.dtype == "float16"
    hidden = rng.choice((128, 192, 256) if half else (192, 256, 257, 320, 384, 512))
    draft.size("rows", rng.choice((64, 100, 127, 128) if half else (128, 196, 197, 256, 384)))
    draft.size("hidden", hidden)
    draft.size("inner", hidden * rng.choice((2, 4) if hidden < 320 else (2, 3)))
    draft.vary("rows")


@family(level=3)
def low_rank(rng: Random) -> Draft:
    """Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021."""
    draft = Draft(rng, MATMUL_DTYPES)
    draft.title(
        ("LoRALinear", "LowRankAdapter", "AdaptedLinear", "BottleneckAdapter"),
        "A linear layer with a low-rank update beside it.",
        "The update is scaled by alpha over the rank.",
    )
    product_sizes(draft)
    draft.vary("rows")
    x = draft.normal("matrix", "rows in_features")
    draft.arguments_of("in_features", "out_features")
    rank = rng.choice((4, 8, 16, 32))
    draft.argument("rank", rank)
    draft.argument("alpha", rng.choice((8.0, 16.0, 32.0)))
    bias = draft.pick("", ", bias=False")
    draft.init(f"self.base = nn.Linear($in_features, $out_features{bias}$dt)")
    draft.init("self.lora_a = nn.Parameter(torch.randn($rank, $in_features$dt) * 0.05)")
    draft.init("self.lora_b = nn.Parameter(torch.randn($out_features, $rank$dt) * 0.05)")
    update = draft.pick(
        f"F.linear(F.linear({x}, self.lora_a), self.lora_b)",
        f"({x} @ self.lora_a.t()) @ self.lora_b.t()",
    )
    draft.forward(f"update = {update}", f"return self.base({x}) + update * ($alpha / $rank)")
    return draft
