"""Gradients of images: stencils, variations, edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms
from builder.programs.families.registry import family
from builder.programs.shapes import (
    SPATIAL,
    draw,
)

if TYPE_CHECKING:
    from random import Random

_GRADIENTS: Forms = {
    "stencil": (
        ("SobelFilter", "EdgeMagnitude", "GradientMagnitude"),
        "Magnitude of image gradients by fixed stencils.",
    ),
    "slices": (
        ("CentralGradient", "SlicedSobel", "FiniteDifferences"),
        "Magnitude of image gradients by differences of slices.",
    ),
    "variation": (
        ("TotalVariation", "SmoothnessLoss", "VariationPenalty"),
        "Total variation of an image.",
    ),
    "edges": (
        ("GradientLoss", "EdgeLoss", "SharpnessLoss"),
        "Difference of the gradients of two images.",
    ),
    "laplacian": (
        ("LaplacianFilter", "Sharpen", "EdgeEnhance"),
        "Image sharpened by its Laplacian.",
    ),
    "tensor": (
        ("StructureTensor", "CornerResponse", "HarrisCorners"),
        "Corner response of the smoothed structure tensor.",
    ),
    "smoothness": (
        ("EdgeAwareSmoothness", "DisparitySmoothness", "FlowSmoothness"),
        "Variation of a map, except across the edges of an image.",
    ),
}
_STENCILS = (
    "[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]",
    "[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]",
    "[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]",
)


@family(level=2)
def image_gradients(rng: Random) -> Draft:
    """Sobel; Scharr; Rudin, Osher and Fatemi, 1992; Harris and Stephens, 1988; Godard, 2017."""
    draft = Draft(rng)
    form = draft.form(_GRADIENTS, "Borders are repeated or left out.")
    draft.size("batch", rng.choice((1, 2, 3, 4, 8)))
    draft.size("channels", 1 if form == "tensor" else rng.choice((1, 1, 3, 3, 4, 16)))
    for side in ("height", "width"):
        draft.size(side, draw(rng, SPATIAL, 11, 64))
    draft.vary("batch", "height", "width")
    dims = "batch channels height width"
    x = draft.normal(("image", "images", "x", "frames"), dims)
    if draft.dtype != "float32":
        draft.forward(f"{x} = {x}.float()")
    {
        "stencil": _stencil,
        "slices": _slices,
        "variation": _variation,
        "edges": _edges,
        "laplacian": _laplacian,
        "tensor": _tensor,
        "smoothness": _smoothness,
    }[form](draft, x)
    return draft


def _buffer(draft: Draft, name: str, rows: str) -> str:
    """Registers a filter of one channel; returns it in float32."""
    draft.init(f'self.register_buffer("{name}", torch.tensor([[[{rows}]]]))')
    return f"self.{name}"


def _cells(dim: str, x: str, gap: int) -> str:
    """``x`` minus itself ``gap`` pixels before, along the height or the width."""
    after, before = f"{gap}:", f":-{gap}"
    if dim == "width":
        return f"{x}[..., {after}] - {x}[..., {before}]"
    return f"{x}[..., {after}, :] - {x}[..., {before}, :]"


def _stencil(draft: Draft, x: str) -> None:
    kernel = _buffer(draft, "kernel", draft.rng.choice(_STENCILS))
    border = draft.pick(', mode="replicate"', ', mode="reflect"', "")
    draft.argument("eps", draft.rng.choice((1e-6, 1e-4, 1e-2)))
    draft.forward(f"b, c, h, w = {x}.shape")
    draft.forward(f"planes = {x}.reshape(b * c, 1, h, w)")
    draft.forward(f"planes = F.pad(planes, (1, 1, 1, 1){border})")
    if draft.rng.random() < 0.5:
        draft.forward(
            f"gx = F.conv2d(planes, {kernel})",
            f"gy = F.conv2d(planes, {kernel}.transpose(2, 3))",
        )
    else:
        draft.forward(
            f"stencils = torch.cat(({kernel}, {kernel}.transpose(2, 3)))",
            "gx, gy = F.conv2d(planes, stencils).unbind(1)",
        )
    magnitude = draft.pick(
        "torch.sqrt(gx.square() + gy.square() + $eps)", "(gx * gx + gy * gy + $eps).sqrt()"
    )
    draft.forward(f"magnitude = {magnitude}", "return magnitude.view(b, c, h, w)")
    draft.level = 3


def _slices(draft: Draft, x: str) -> None:
    draft.argument("eps", draft.rng.choice((1e-6, 1e-4, 1e-2)))
    form = draft.rng.choice(("central", "sobel", "forward"))
    if form == "sobel":
        draft.forward(
            f"smooth = {x}[..., :-2, :] + 2 * {x}[..., 1:-1, :] + {x}[..., 2:, :]",
            "gx = smooth[..., 2:] - smooth[..., :-2]",
            f"smooth = {x}[..., :-2] + 2 * {x}[..., 1:-1] + {x}[..., 2:]",
            "gy = smooth[..., 2:, :] - smooth[..., :-2, :]",
        )
    elif form == "central":
        draft.forward(
            f"gx = 0.5 * ({x}[..., 1:-1, 2:] - {x}[..., 1:-1, :-2])",
            f"gy = 0.5 * ({x}[..., 2:, 1:-1] - {x}[..., :-2, 1:-1])",
        )
    else:
        draft.forward(
            f"gx = F.pad({_cells('width', x, 1)}, (0, 1))",
            f"gy = F.pad({_cells('height', x, 1)}, (0, 0, 0, 1))",
        )
    squares = draft.pick("gx.square() + gy.square()", "gx * gx + gy * gy", "gx**2 + gy**2")
    ending = draft.rng.choice(("magnitude", "mean", "unit"))
    if ending == "unit":
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        draft.forward(f"scale = torch.rsqrt({squares} + $eps)", "return gx * scale, gy * scale")
    else:
        draft.forward(f"magnitude = torch.sqrt({squares} + $eps)")
        mean = draft.pick("magnitude.mean(dim=1)", "magnitude.mean(dim=(2, 3))", "magnitude.mean()")
        draft.forward(f"return {'magnitude' if ending == 'magnitude' else mean}")


def _variation(draft: Draft, x: str) -> None:
    rows, columns = _cells("height", x, 1), _cells("width", x, 1)
    form = draft.rng.choice(("absolute", "squared", "isotropic"))
    if form == "isotropic":
        draft.argument("eps", draft.rng.choice((1e-6, 1e-4, 1e-3)))
        draft.forward(
            f"dy = {x}[..., 1:, :-1] - {x}[..., :-1, :-1]",
            f"dx = {x}[..., :-1, 1:] - {x}[..., :-1, :-1]",
            "variation = torch.sqrt(dx.square() + dy.square() + $eps)",
            f"return {draft.pick('variation.mean()', 'variation.sum(dim=(1, 2, 3))')}",
        )
        return
    measure = "abs()" if form == "absolute" else draft.pick("square()", "pow(2)")
    reduce = draft.pick("mean()", "sum()", "sum(dim=(1, 2, 3))", "mean(dim=(1, 2, 3))")
    draft.forward(f"dy = ({rows}).{measure}", f"dx = ({columns}).{measure}")
    total = f"dx.{reduce} + dy.{reduce}"
    if draft.rng.random() < 0.5:
        draft.argument("weight", draft.rng.choice((0.1, 0.01, 0.5)))
        total = f"$weight * ({total})"
    draft.forward(f"return {total}")


def _edges(draft: Draft, x: str) -> None:
    y = draft.normal(("target", "reference", "clean"), "batch channels height width")
    if draft.dtype != "float32":
        draft.forward(f"{y} = {y}.float()")
    form = draft.rng.choice(("difference", "charbonnier", "magnitude"))
    if form == "magnitude":
        _edge_magnitudes(draft, x, y)
        return
    draft.forward(f"diff = {draft.pick(f'{x} - {y}', f'{y} - {x}')}")
    rows, columns = _cells("height", "diff", 1), _cells("width", "diff", 1)
    draft.forward(f"dy = {rows}", f"dx = {columns}")
    if form == "difference":
        draft.forward("loss = dx.abs().mean() + dy.abs().mean()")
    else:
        draft.argument("eps", draft.rng.choice((1e-6, 1e-3)))
        draft.forward("loss = (dx * dx + $eps).sqrt().mean() + (dy * dy + $eps).sqrt().mean()")
    if draft.rng.random() < 0.5:
        draft.argument("weight", draft.rng.choice((0.1, 0.5, 2.0)))
        draft.forward(f"return {draft.pick('F.l1_loss', 'F.mse_loss')}({x}, {y}) + $weight * loss")
    else:
        draft.forward("return loss")


def _edge_magnitudes(draft: Draft, x: str, y: str) -> None:
    draft.argument("eps", draft.rng.choice((1e-4, 1e-3)))
    draft.helper(
        "def magnitude(image, eps):",
        "    dx = image[..., 1:-1, 2:] - image[..., 1:-1, :-2]",
        "    dy = image[..., 2:, 1:-1] - image[..., :-2, 1:-1]",
        "    return torch.sqrt(dx.square() + dy.square() + eps)",
    )
    error = f"magnitude({x}, $eps) - magnitude({y}, $eps)"
    draft.forward(f"error = {error}")
    draft.forward(
        f"return {draft.pick('error.abs().mean()', 'error.square().mean(dim=(1, 2, 3))')}"
    )


def _laplacian(draft: Draft, x: str) -> None:
    draft.argument("amount", draft.rng.choice((0.2, 0.5, 1.0)))
    border = draft.pick(', mode="replicate"', ', mode="reflect"', "")
    if draft.rng.random() < 0.5:
        centre = "p[..., 1:-1, 1:-1]"
        sides = "p[..., :-2, 1:-1] + p[..., 2:, 1:-1] + p[..., 1:-1, :-2] + p[..., 1:-1, 2:]"
        draft.forward(
            f"p = F.pad({x}, (1, 1, 1, 1){border})", f"laplacian = {sides} - 4 * {centre}"
        )
    else:
        rows = draft.pick(
            "[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]",
            "[1.0, 1.0, 1.0], [1.0, -8.0, 1.0], [1.0, 1.0, 1.0]",
        )
        kernel = _buffer(draft, "kernel", rows)
        draft.forward(f"p = F.pad({x}, (1, 1, 1, 1){border}).flatten(0, 1).unsqueeze(1)")
        draft.forward(f"laplacian = F.conv2d(p, {kernel}).view({x}.shape)")
        draft.level = 3
    draft.forward(f"sharp = {x} - $amount * laplacian")
    draft.forward(f"return {draft.pick('sharp', 'sharp.clamp(-3.0, 3.0)', 'torch.tanh(sharp)')}")


def _tensor(draft: Draft, x: str) -> None:
    window = draft.rng.choice((3, 5))
    draft.argument("k", draft.rng.choice((0.04, 0.05, 0.06)))
    draft.level = 3
    draft.forward(
        f"dx = {x}[..., 1:-1, 2:] - {x}[..., 1:-1, :-2]",
        f"dy = {x}[..., 2:, 1:-1] - {x}[..., :-2, 1:-1]",
        "products = torch.cat((dx * dx, dy * dy, dx * dy), dim=1)",
        f"smooth = F.avg_pool2d(products, {window}, stride=1, padding={window // 2})",
        "xx, yy, xy = smooth.unbind(1)",
        "det, trace = xx * yy - xy * xy, xx + yy",
    )
    draft.forward(f"return {draft.pick('det - $k * trace * trace', 'det / (trace + $k)')}")


def _smoothness(draft: Draft, x: str) -> None:
    disparity = draft.positive(("disparity", "depth", "flow"), "batch 1 height width")
    if draft.dtype != "float32":
        draft.forward(f"{disparity} = {disparity}.float()")
    draft.argument("sharpness", draft.rng.choice((0.5, 1.0, 2.0)))
    if draft.rng.random() < 0.5:
        mean = f"{disparity}.mean(dim=(2, 3), keepdim=True)"
        draft.forward(f"{disparity} = {disparity} / ({mean} + 1e-7)")
    for name, dim in (("x", "width"), ("y", "height")):
        edges = f"({_cells(dim, x, 1)}).abs().mean(dim=1, keepdim=True)"
        draft.forward(
            f"edge_{name} = {edges}",
            f"change_{name} = ({_cells(dim, disparity, 1)}).abs()",
            f"cost_{name} = change_{name} * torch.exp(-$sharpness * edge_{name})",
        )
    reduce = draft.pick("mean()", "mean(dim=(1, 2, 3))")
    draft.forward(f"return cost_x.{reduce} + cost_y.{reduce}")
    draft.level = 3
