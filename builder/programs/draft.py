"""A program being drafted: what a family fills in, before it becomes text.

Templates name sizes and constructor arguments by role, ``$hidden``; the renderer spells them as
the draft's style says: as a literal, a module constant, a constructor argument or an attribute.
``$dt`` stands for ``, dtype=torch.float16`` (or nothing) and ``$dtype`` for ``torch.float16``.

A family is a function that fills in a draft; these few methods are enough for one:

* ``Draft(rng)`` draws the dtype and the style; every other choice comes from ``rng``, too.
* ``title(names, doc)`` gives the class its name and description.
* ``size(role, value)`` declares a size, ``argument(role, value)`` a constructor argument.
* ``normal``, ``positive``, ``integers`` and ``mask`` add an argument of ``forward``, drawn in
  ``get_inputs``, and return its name; their ``dims`` are roles or numbers, ``"batch hidden"``.
* ``parameter(name, dims)`` and ``init(line)`` fill ``__init__``.
* ``forward(line)`` fills ``forward``; its last line returns.

For instance::

    @family(level=2)
    def scaled_tanh(rng: Random) -> Draft:
        draft = Draft(rng)
        draft.title(("ScaledTanh", "TanhGate"), "A tanh with a learned scale.")
        draft.size("batch", rng.choice((8, 31, 64)))
        draft.size("hidden", draw(rng, HIDDEN))
        x = draft.normal("tokens", "batch hidden")
        draft.parameter("scale", "hidden", scale=0.2, offset=1.0)
        draft.forward(f"return torch.tanh({x}) * self.scale")
        return draft

``shapes.py`` draws realistic sizes, ``spelling.py`` spells an operation in several ways.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.programs.names import INPUT_NAMES, ROLE_NAMES
from builder.programs.shapes import LARGEST_VARIANT, other_sizes

if TYPE_CHECKING:
    from random import Random

Forms = dict[str, tuple[tuple[str, ...], str]]
_LARGE = 1 << 17
_ENDINGS = ("out", "in", "mid", "low", "high", "next", "alt", "mix", "res", "top")
DTYPES = ("float32", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Style:
    """Habits of the pretended author, drawn once a program."""

    constants: str  # "none", "lower" or "upper": module constants for sizes
    arguments: str  # "positional", "keywords" or "hardcoded": how the constructor gets its values
    defaults: bool  # constructor arguments that are no sizes have defaults and are left out
    annotate: bool
    docstring: int  # 0 none, 1 one line, 2 with a paragraph on the forward
    inline_dtype: bool  # dtype= at each creation, or one cast at the end
    old_super: bool
    short_imports: bool
    inline_inputs: bool
    init_first: bool
    constants_first: bool

    @staticmethod
    def drawn(rng: Random) -> Style:
        return Style(
            constants=rng.choice(("none", "lower", "upper")),
            arguments=rng.choice(("positional", "positional", "keywords", "hardcoded")),
            defaults=rng.random() < 0.4,
            annotate=rng.random() < 0.4,
            docstring=rng.choice((0, 0, 1, 1, 2)),
            inline_dtype=rng.random() < 0.5,
            old_super=rng.random() < 0.25,
            short_imports=rng.random() < 0.5,
            inline_inputs=rng.random() < 0.5,
            init_first=rng.random() < 0.5,
            constants_first=rng.random() < 0.3,
        )


@dataclass(frozen=True)
class Input:
    """One positional argument of ``forward``: a name and the template that draws it."""

    name: str
    template: str
    dtype: str


class Draft:
    """A program in the making.

    Args:
        rng: the item's generator; every choice comes from it.
        dtypes: the floating types to choose from, repeated for weight.
    """

    def __init__(self, rng: Random, dtypes: tuple[str, ...] = DTYPES) -> None:
        self.rng = rng
        self.dtype = rng.choice(dtypes)
        self.style = Style.drawn(rng)
        self.class_name = ""
        self.doc = ""
        self.details = ""
        self.returns = "torch.Tensor"
        self.eval_mode = False
        self.level: int | None = None
        self.uses: list[tuple[str, ...]] = []
        self.values: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self.sizes: list[str] = []
        self.arguments: list[str] = []
        self.varied: dict[str, tuple[int, ...]] = {}
        self.inputs: list[Input] = []
        self.helpers: list[list[str]] = []
        self.init_lines: list[str] = []
        self.forward_lines: list[str] = []
        self._taken: set[str] = {"torch", "nn", "f", "math"}

    # --- naming ------------------------------------------------------------------------------

    def title(self, names: tuple[str, ...], doc: str, details: str = "") -> None:
        """The class name (one of ``names``), its one-line description, and a longer one."""
        self.class_name, self.doc, self.details = self.rng.choice(names), doc, details

    def form(self, forms: Forms, details: str = "") -> str:
        """Chooses one form of a motif; each has class names and a description of its own."""
        chosen = self.rng.choice(tuple(forms))
        self.title(*forms[chosen], details)
        return chosen

    def spell(self, pool: tuple[str, ...] | str) -> str:
        """An unused name out of a pool, or that very name; where all are used, one made of them."""
        options = (pool,) if isinstance(pool, str) else pool
        free = self._free(options) or self._free(
            tuple(f"{n}_{ending}" for n in options for ending in _ENDINGS if "_" not in n)
        )
        name = self.rng.choice(free) if free else f"{options[0]}_{len(self._taken)}"
        self._taken.add(name.lower())
        return name

    def _free(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if name.lower() not in self._taken]

    # --- sizes and constructor arguments -----------------------------------------------------

    def size(self, role: str, value: int) -> int:
        """Declares a size that ``get_inputs`` uses."""
        self._declare(role, value)
        self.sizes.append(role)
        return value

    def argument(self, role: str, value: Any = None) -> None:
        """Makes a role a constructor argument; a role that is no size brings its value."""
        if role not in self.values:
            self._declare(role, value)
        self.arguments.append(role)

    def arguments_of(self, *roles: str) -> None:
        """Makes declared sizes constructor arguments, in this order."""
        for role in roles:
            self.argument(role)

    def vary(self, *roles: str, multiple: int = 1, chance: float = 0.75) -> None:
        """Lets ``get_shape_variants`` change these sizes: smaller, odd, and another.

        They are small, because each variant is one more input set to verify. Where the sizes so far
        make many elements, there always are some, which checks then run on.
        """
        is_large = math.prod(self.values[role] for role in self.sizes) > _LARGE
        if self.rng.random() > chance and not is_large:
            return
        for role in roles:
            most = LARGEST_VARIANT.get(role, LARGEST_VARIANT["other"]) // multiple
            sizes = other_sizes(self.rng, self.values[role] // multiple, most)
            self.varied[role] = tuple(size * multiple for size in sizes)

    def _declare(self, role: str, value: Any) -> None:
        self.values[role] = value
        self.names[role] = self.spell(ROLE_NAMES.get(role, (role,)))

    # --- inputs ------------------------------------------------------------------------------

    def input(self, name: tuple[str, ...] | str, template: str, dtype: str | None = None) -> str:
        """An input drawn by ``template``; ``name`` is a pool's key, a pool or the name itself."""
        pool = INPUT_NAMES.get(name, name) if isinstance(name, str) else name
        spelled = self.spell(pool)
        self.inputs.append(Input(spelled, template, dtype or self.dtype))
        return spelled

    def normal(
        self,
        name: tuple[str, ...] | str,
        dims: str,
        scale: float = 1.0,
        dtype: str | None = None,
    ) -> str:
        """Activations: normal values."""
        return self.input(name, self.drawn("randn", dims, scale, 0.0, dtype), dtype)

    def positive(
        self,
        name: tuple[str, ...] | str,
        dims: str,
        low: float = 0.1,
        span: float = 0.9,
        dtype: str | None = None,
    ) -> str:
        """Scales, variances, probabilities: uniform in [low, low + span)."""
        return self.input(name, self.drawn("rand", dims, span, low, dtype), dtype)

    def integers(self, name: tuple[str, ...] | str, dims: str, high: str, low: str = "0") -> str:
        """Ids and labels: ``torch.randint`` in [low, high)."""
        bounds = high if low == "0" and self.rng.random() < 0.5 else f"{low}, {high}"
        return self.input(name, f"torch.randint({bounds}, ({shape(dims, as_tuple=True)}))", "int64")

    def mask(self, name: tuple[str, ...] | str, dims: str, keep: float = 0.8) -> str:
        """A boolean mask, true with the given probability."""
        return self.input(name, f"torch.rand({shape(dims)}) < {keep:g}", "bool")

    def drawn(
        self,
        kind: str,
        dims: str,
        scale: float = 1.0,
        offset: float = 0.0,
        dtype: str | None = None,
    ) -> str:
        """Template of ``offset + scale * torch.<kind>(dims)`` in a floating type."""
        dtype = dtype or self.dtype
        inline = self.style.inline_dtype and dtype != "float32"
        text = f"torch.{kind}({shape(dims)}{f', dtype=torch.{dtype}' if inline else ''})"
        if scale != 1.0:
            text = f"{scale:g} * {text}"
        if offset:
            text = f"{text} + {offset:g}"
        if inline or dtype == "float32":
            return text
        text = text if scale == 1.0 and not offset else f"({text})"
        short = {"float16": ".half()", "bfloat16": ".bfloat16()"}[dtype]
        return text + self.rng.choice((short, f".to(torch.{dtype})"))

    # --- code --------------------------------------------------------------------------------

    def init(self, *lines: str) -> None:
        """Appends lines of ``__init__``."""
        self.init_lines.extend(lines)

    def forward(self, *lines: str) -> None:
        """Appends lines of ``forward``."""
        self.forward_lines.extend(lines)

    def helper(self, *lines: str) -> None:
        """Adds a function above the class."""
        self.helpers.append(list(lines))

    def parameter(self, name: str, dims: str, scale: float = 1.0, offset: float = 0.0) -> None:
        """``self.<name> = nn.Parameter(...)`` with non-trivial normal values."""
        text = f"torch.randn({shape(dims)}$dt)"
        if scale != 1.0:
            text = self.rng.choice((f"{scale:g} * {text}", f"{text} * {scale:g}"))
        if offset:
            text = f"{offset:g} + {text}"
        self.init(f"self.{name} = nn.Parameter({text})")

    def normal_init(self, path: str, mean: float = 0.0, std: float = 0.1) -> None:
        """A line that re-draws an existing parameter with normal values."""
        options = [f"nn.init.normal_(self.{path}, mean={mean:g}, std={std:g})"]
        if mean:
            options.append(f"nn.init.uniform_(self.{path}, {mean - 0.5:g}, {mean + 0.5:g})")
        self.init(self.rng.choice(options))

    def pick(self, *options: str) -> str:
        """One of several spellings."""
        return self.rng.choice(options)


def shape(dims: str, *, as_tuple: bool = False) -> str:
    """Template of a shape: roles become ``$role``; ``as_tuple`` keeps one dimension's comma."""
    parts = [part if part.isdigit() else f"${part}" for part in dims.split()]
    return ", ".join(parts) + ("," if as_tuple and len(parts) == 1 else "")
