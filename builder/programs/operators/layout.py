"""Operators that move elements."""

from __future__ import annotations

from builder.programs.operators.registry import table

table("layout", "float", {
    "transpose_last": ("{x}.transpose(-1, -2)", "{x}.transpose(-2, -1).contiguous()", "{x}.mT"),
    "transpose": ("{x}.transpose({dim}, {other_dim})", "torch.swapaxes({x}, {dim}, {other_dim})"),
    "flatten": ("{x}.flatten({dim_pair})", "torch.flatten({x}, {dim_pair})"),
    "unsqueeze": ("{x}.unsqueeze({new_dim})", "torch.unsqueeze({x}, {new_dim})"),
    "flip": ("{x}.flip({dim})", "torch.flip({x}, ({dim},))"),
    "roll": ("torch.roll({x}, {few}, {dim})", "{x}.roll(shifts=-1, dims={dim})"),
    "chunk_product": ("torch.mul(*{x}.chunk(2, dim={even}))",),
    "chunk_gate": ("torch.sigmoid({x}.chunk(2, {even})[0]) * {x}.chunk(2, {even})[1]",
                   "F.glu({x}, dim={even})", "nn.GLU(dim={even})"),
    "rotate_half": ("torch.cat([-{x}.chunk(2, -1)[1], {x}.chunk(2, -1)[0]], dim=-1)",),
    "even_half": ("{x}[..., ::2]", "{x}[..., 1::2]"),
    "first": ("{x}[:, 0]", "{x}.select(1, 0)", "{x}[:, -1]"),
    "narrow": ("{x}[..., {few}:]", "{x}[..., :-{few}]", "{x}.narrow(-1, 0, {few})"),
    "shift_difference": ("{x}[..., 1:] - {x}[..., :-1]",),
    "pad": ("F.pad({x}, ({few}, {few}))", "F.pad({x}, (1, 0))",
            "F.pad({x}, (0, {few}), value={offset})"),
    "tile": ("torch.tile({x}, (2,))", "{x}.repeat(*[1] * ({x}.dim() - 1), 2)"),
    "repeat_interleave": ("torch.repeat_interleave({x}, 2, dim={dim})",
                          "{x}.repeat_interleave(2, dim={dim})"),
    "unbind_sum": ("sum(torch.unbind({x}[:, :3], 1))",),
    "movedim": ("torch.movedim({x}, {dim}, 0)", "{x}.movedim({dim}, -1)"),
    "square_pairs": ("{x}.unflatten(-1, (-1, 2)).sum(-1)", "{x}.unflatten(-1, (2, -1)).prod(-2)"),
    "clone": ("{x}.contiguous() * {scale}",),
})  # fmt: skip

table("layout", "float like", {
    "cat": ("torch.cat([{x}, {y}], dim={dim})", "torch.cat(({x}, {y}), {dim})"),
    "stack": ("torch.stack([{x}, {y}], dim={new_dim})", "torch.stack([{x}, {y}]).mean(0)"),
})  # fmt: skip

table("layout", "tokens", {
    "tril": ("torch.tril({x})", "{x}.tril(-1)"),
    "triu": ("torch.triu({x})", "{x}.triu(1)"),
    "diagonal": ("torch.diagonal({x}, dim1=-2, dim2=-1)",),
    "unfold": ("{x}.unfold(1, 2, 1).sum(-1)", "{x}.unfold(1, 2, 1).mean(-1)"),
})  # fmt: skip

table("index", "float", {
    "gather_sorted": ("torch.gather({x}, -1, {x}.float().argsort(dim=-1, stable=True))",),
    "index_select": ("torch.index_select({x}, {dim}, torch.arange({few}, device={x}.device))",),
    "take_along": ("torch.take_along_dim({x}, {x}.float().argmax({dim}, keepdim=True), {dim})",),
    "scatter_add": (
        "torch.zeros_like({x}).scatter_add(-1, {x}.float().argsort(dim=-1, stable=True), {x})",
    ),
    "scatter": ("torch.scatter({x}, -1, {x}.float().argmax(-1, keepdim=True), {offset})",),
})  # fmt: skip

table("index", "long positions", {
    "index_rows": ("{x}[{y}]", "torch.index_select({x}, 0, {y})", "F.embedding({y}, {x})"),
})  # fmt: skip
