"""Ways to write one operation: function, method, operator or module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.programs.draft import Draft

_POWER = re.compile(r"(?<![\w.)\]])([\w.]+) \*\* (-?[\w.]+)(?![\w.(\[])")

ACTIVATIONS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "relu": ("nn.ReLU()", ("torch.relu({x})", "F.relu({x})", "{a}.relu()", "{a}.clamp(min=0)")),
    "gelu": ("nn.GELU()", ("F.gelu({x})", "F.gelu({x})")),
    "gelu_tanh": ('nn.GELU(approximate="tanh")', ('F.gelu({x}, approximate="tanh")',)),
    "silu": ("nn.SiLU()", ("F.silu({x})", "{a} * torch.sigmoid({x})", "{a} * {a}.sigmoid()")),
    "tanh": ("nn.Tanh()", ("torch.tanh({x})", "{a}.tanh()")),
    "sigmoid": ("nn.Sigmoid()", ("torch.sigmoid({x})", "{a}.sigmoid()")),
    "softplus": ("nn.Softplus()", ("F.softplus({x})",)),
    "elu": ("nn.ELU()", ("F.elu({x})",)),
    "leaky_relu": ("nn.LeakyReLU(0.1)", ("F.leaky_relu({x}, 0.1)", "F.leaky_relu({x}, 0.01)")),
    "hardswish": ("nn.Hardswish()", ("F.hardswish({x})",)),
    "hardsigmoid": ("nn.Hardsigmoid()", ("F.hardsigmoid({x})",)),
    "hardtanh": (
        "nn.Hardtanh()",
        ("F.hardtanh({x})", "{a}.clamp(-1, 1)", "torch.clamp({x}, -1, 1)"),
    ),
    "relu6": ("nn.ReLU6()", ("F.relu6({x})", "{a}.clamp(0, 6)")),
    "mish": ("nn.Mish()", ("F.mish({x})", "{a} * torch.tanh(F.softplus({x}))")),
    "squared_relu": (None, ("torch.relu({x}).square()", "F.relu({x}) ** 2")),
    "quick_gelu": (None, ("{a} * torch.sigmoid(1.702 * {a})",)),
    "softsign": ("nn.Softsign()", ("F.softsign({x})", "{a} / (1 + {a}.abs())")),
    "celu": ("nn.CELU()", ("F.celu({x})",)),
    "selu": ("nn.SELU()", ("F.selu({x})",)),
    "logsigmoid": ("nn.LogSigmoid()", ("F.logsigmoid({x})",)),
    "tanhshrink": ("nn.Tanhshrink()", ("{a} - torch.tanh({x})", "F.tanhshrink({x})")),
}
FEED_FORWARD = ("relu", "gelu", "gelu_tanh", "silu", "squared_relu", "quick_gelu", "mish")
CONVOLUTIONAL = ("relu", "silu", "hardswish", "leaky_relu", "relu6", "gelu", "mish", "elu")


def activate(draft: Draft, x: str, kinds: tuple[str, ...] = (), *, module: bool = True) -> str:
    """An activation of the expression ``x``; a module spelling adds its line to ``__init__``.

    A spelling that repeats its argument is only chosen for a plain name.
    """
    kind = draft.rng.choice(kinds or tuple(ACTIVATIONS))
    module_text, texts = ACTIVATIONS[kind]
    name = f"self.{draft.pick('act', 'activation')}"
    used = any(line.startswith(f"{name} =") for line in draft.init_lines)
    if module and module_text and not used and draft.rng.random() < 0.35:
        draft.init(f"{name} = {module_text}")
        return f"{name}({x})"
    if not re.fullmatch(r"[\w.]+", x):
        texts = tuple(text for text in texts if text.count("{x}") + text.count("{a}") == 1)
    return draft.rng.choice(texts or ("torch.tanh({x})",)).format(x=x, a=atom(x))


def atom(x: str) -> str:
    """The expression in parentheses, unless a method may follow it as it stands."""
    return x if re.fullmatch(r"[\w.]+|[\w.]+\([^()]*\)|[\w.]+\[[^\[\]]*\]", x) else f"({x})"


def reduce(draft: Draft, kind: str, x: str, dim: str = "-1", *, keepdim: bool = True) -> str:
    """A reduction over one or several dimensions, as a method or a function."""
    keep = ", keepdim=True" if keepdim else ""
    dim = draft.pick(dim, f"dim={dim}")
    if draft.rng.random() < 0.6:
        return f"{atom(x)}.{kind}({dim}{keep})"
    return f"torch.{kind}({x}, {dim}{keep})"


def scaled_sum(draft: Draft, x: str, weight: str, bias: str) -> str:
    """``x * weight + bias``."""
    return draft.pick(
        f"{atom(x)} * {weight} + {bias}",
        f"{weight} * {atom(x)} + {bias}",
        f"torch.addcmul({bias}, {x}, {weight})",
    )


def add(draft: Draft, a: str, b: str) -> str:
    """``a + b``."""
    return draft.pick(f"{a} + {b}", f"{a} + {b}", f"torch.add({a}, {b})", f"{atom(a)}.add({b})")


def multiply(draft: Draft, a: str, b: str) -> str:
    """``a * b``."""
    return draft.pick(f"{a} * {b}", f"{a} * {b}", f"torch.mul({a}, {b})", f"{atom(a)}.mul({b})")


def transposed(draft: Draft, x: str) -> str:
    """The last two dimensions swapped."""
    return draft.pick(f"{x}.transpose(-2, -1)", f"{x}.transpose(-1, -2)", f"{x}.mT")


def matmul(draft: Draft, a: str, b: str) -> str:
    """``a @ b``."""
    return draft.pick(f"{a} @ {b}", f"torch.matmul({a}, {b})", f"{atom(a)}.matmul({b})")


def with_close_powers(text: str) -> str:
    """Powers of plain names and numbers are written without blanks."""
    return _POWER.sub(r"\1**\2", text)
