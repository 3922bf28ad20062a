"""Mixtures of experts: what the experts give is combined, and how evenly they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.programs.draft import Draft, Forms, shape
from builder.programs.families.registry import family
from builder.programs.families.softmaxes import softmax_call
from builder.programs.shapes import HIDDEN, MATMUL, ROWS, SEQUENCE, draw, fitting
from builder.programs.spelling import FEED_FORWARD, activate

if TYPE_CHECKING:
    from random import Random

_COMBINED: Forms = {
    "dense": (
        ("SoftMoE", "DenseExperts", "SoftExpertMixture"),
        "Every expert's network on every token, summed by the router's probabilities.",
    ),
    "gathered": (
        ("ExpertCombine", "GatherCombine", "TopKCombine"),
        "The weighted sum of the chosen experts' outputs for each token.",
    ),
    "permuted": (
        ("UnpermuteTokens", "UnsortCombine", "MoEUnpermute"),
        "Brings rows sorted by expert back to their tokens and sums them by weight.",
    ),
    "dispatch": (
        ("CombineMatrix", "DispatchCombine"),
        "Combines all experts' outputs by a matrix of weights that is mostly zero.",
    ),
    "added": (
        ("ExpertScatter", "ScatterCombine", "AccumulateExperts"),
        "Adds each weighted row of the experts' outputs to its token.",
    ),
}


@family(level=4)
def expert_combine(rng: Random) -> Draft:
    """Shazeer et al., Outrageously Large Neural Networks, 2017; Puigcerver et al., 2024."""
    draft = Draft(rng)
    form = draft.form(_COMBINED, "Weights of one token sum to one.")
    if form == "added":
        draft.dtype = "float32"  # the order of atomic sums is open
    if form == "dense":
        result = _dense(draft)
    else:
        draft.level = 3
        draft.size("rows", rng.choice((64, 100, 128, 197, 256, 333, 512)))
        k = rng.choice((2, 2, 3, 4, 6))
        draft.size("hidden", fitting(rng, HIDDEN, (1 << 18) // (draft.values["rows"] * k)))
        draft.vary("rows")
        result = _combined(draft, form, k)
    draft.forward(f"return {_finished(draft, result)}")
    return draft


def _dense(draft: Draft) -> str:
    """Two batched products over all experts."""
    rng = draft.rng
    draft.size("rows", rng.choice((32, 50, 64, 100, 128)))
    draft.size("hidden", draw(rng, HIDDEN, high=256 if draft.dtype == "float32" else 192))
    draft.size("num_experts", rng.choice((2, 3, 4, 4, 8)))
    draft.vary("rows")
    x = draft.normal("tokens", "rows hidden")
    logits = draft.normal(("router_logits", "gate_logits", "logits"), "rows num_experts", 1.5)
    draft.arguments_of("num_experts", "hidden")
    draft.argument("inner", draw(rng, MATMUL, high=288))
    draft.init(
        "self.w_in = nn.Parameter(torch.randn($num_experts, $hidden, $inner$dt) * 0.06)",
        "self.w_out = nn.Parameter(torch.randn($num_experts, $inner, $hidden$dt) * 0.06)",
    )
    probs = softmax_call(draft, logits)
    if draft.dtype != "float32":
        probs = f"torch.softmax({logits}.float(), dim=-1).to({x}.dtype)"
    product = draft.pick(
        f"{x} @ self.w_in",
        f"torch.matmul({x}, self.w_in)",
        f"torch.bmm({x}.expand(self.w_in.shape[0], -1, -1), self.w_in)",
    )
    draft.forward(f"h = {product}", f"h = {activate(draft, 'h', FEED_FORWARD)}")
    draft.forward(f"y = {draft.pick('h @ self.w_out', 'torch.bmm(h, self.w_out)')}")
    draft.forward(f"probs = {probs}")
    return draft.pick(
        "(y * probs.t().unsqueeze(-1)).sum(dim=0)",
        "(probs.mT[:, :, None] * y).sum(dim=0)",
        'torch.einsum("te,etd->td", probs, y)',
    )


def _combined(draft: Draft, form: str, k: int) -> str:
    """Combines outputs that are given; declares them, the routing and its weights."""
    if form in {"gathered", "dispatch"}:
        draft.size("num_experts", draft.rng.choice((4, 8, 8, 16)))
        template = draft.drawn("randn", "num_experts rows hidden")
    else:
        template = draft.drawn("randn", f"rows {k} hidden").replace(f", {k},", f" * {k},")
    y = draft.input(("expert_out", "expert_outputs", "y"), template)
    logits = draft.normal(("router_logits", "top_logits", "gate_logits"), f"rows {k}", 1.5)
    cast = "" if draft.dtype == "float32" else f".to({y}.dtype)"
    value = logits if draft.dtype == "float32" else f"{logits}.float()"
    if draft.rng.random() < 0.6:
        weights = draft.pick(f"torch.softmax({value}, dim=-1)", f"F.softmax({value}, dim=-1)")
    else:
        draft.forward(f"gates = torch.sigmoid({value})")
        weights = "gates / gates.sum(dim=-1, keepdim=True)"
    draft.forward(f"weights = {f'({weights})' if cast and '/' in weights else weights}{cast}")
    combine = {
        "gathered": _gathered,
        "dispatch": _dispatched,
        "permuted": _permuted,
        "added": _added,
    }[form]
    return combine(draft, y, k)


def _chosen(draft: Draft, k: int) -> str:
    return draft.integers(("expert_ids", "chosen", "top_idx"), f"rows {k}", "$num_experts")


def _gathered(draft: Draft, y: str, k: int) -> str:
    ids = _chosen(draft, k)
    if draft.rng.random() < 0.5:
        draft.forward(
            f"tokens = torch.arange({ids}.shape[0], device={ids}.device)",
            f"picked = {y}[{ids}, tokens[:, None]]",
        )
    else:
        index = draft.pick(f"{ids}[:, :, None]", f"{ids}.unsqueeze(-1)")
        draft.forward(
            f"index = {index}.expand(-1, -1, {y}.shape[-1])",
            f"picked = {y}.transpose(0, 1).gather(1, index)",
        )
    return _weighted_sum(draft)


def _dispatched(draft: Draft, y: str, k: int) -> str:
    ids = _chosen(draft, k)
    draft.forward(
        f"one_hot = F.one_hot({ids}, {y}.shape[0]).to({y}.dtype)",
        "combine = (one_hot * weights.unsqueeze(-1)).sum(dim=1)",
    )
    return draft.pick(
        f'torch.einsum("te,eth->th", combine, {y})',
        f"torch.bmm(combine.unsqueeze(1), {y}.transpose(0, 1)).squeeze(1)",
        f"(combine.t().unsqueeze(-1) * {y}).sum(dim=0)",
    )


def _permuted(draft: Draft, y: str, k: int) -> str:
    name = ("inverse", "restore", "unsort")
    places = draft.input(name, f"torch.randperm($rows * {k})", "int64")
    rows = draft.pick(f"{y}[{places}]", f"{y}.index_select(0, {places})")
    draft.forward(f"picked = {rows}.unflatten(0, weights.shape)")
    return _weighted_sum(draft)


def _added(draft: Draft, y: str, k: int) -> str:
    name = ("token_ids", "token_idx", "destination")
    tokens = draft.input(name, f"torch.randperm($rows * {k}) // {k}", "int64")
    draft.forward(
        f"weighted = {y} * weights.flatten().unsqueeze(-1)",
        f"out = {y}.new_zeros(weights.shape[0], {y}.shape[-1])",
    )
    return draft.pick(
        f"out.index_add(0, {tokens}, weighted)",
        f"out.scatter_add(0, {tokens}[:, None].expand_as(weighted), weighted)",
    )


def _weighted_sum(draft: Draft) -> str:
    return draft.pick(
        "(picked * weights.unsqueeze(-1)).sum(dim=1)",
        "(weights[:, :, None] * picked).sum(dim=1)",
        "torch.bmm(weights.unsqueeze(1), picked).squeeze(1)",
    )


def _finished(draft: Draft, result: str) -> str:
    """Often a shared expert's output, or a factor, joins the sum."""
    kind = draft.rng.choice(("plain", "shared", "factor"))
    if kind == "shared":
        shared = draft.normal(("shared", "shared_out", "residual"), "rows hidden")
        return draft.pick(f"{result} + {shared}", f"{shared} + {result}")
    if kind == "factor":
        draft.argument("routed_scale", draft.rng.choice((0.5, 1.5, 2.5)))
        return f"{result} * $routed_scale"
    return result


_BALANCE: Forms = {
    "fraction": (
        ("LoadBalancingLoss", "SwitchLoss", "AuxiliaryLoss"),
        "Each expert's share of tokens times its mean probability, summed.",
    ),
    "sequence": (
        ("SequenceBalanceLoss", "PerSequenceBalance"),
        "The balance of the experts within each sequence.",
    ),
    "importance": (
        ("ImportanceLoss", "ExpertVariation"),
        "The squared coefficient of variation of the experts' total probabilities.",
    ),
    "z": (
        ("RouterZLoss", "LogitsPenalty"),
        "The mean square of the router's log-partition, over valid tokens.",
    ),
}


@family(level=3)
def balance_loss(rng: Random) -> Draft:
    """Fedus et al., Switch Transformers, 2022; z-loss: Zoph et al., ST-MoE, 2022."""
    draft = Draft(rng, ("float32", "float32", "bfloat16"))
    form = draft.form(_BALANCE, "Probabilities are computed in float32.")
    is_batched = form == "sequence" or (form == "z" and rng.random() < 0.5)
    if is_batched:
        draft.size("batch", rng.choice((2, 3, 4, 8)))
        draft.size("seq", draw(rng, SEQUENCE, high=512))
        draft.vary("batch", "seq")
    else:
        draft.size("rows", draw(rng, ROWS, high=4096))
        draft.vary("rows")
    draft.size("num_experts", rng.choice((8, 8, 16, 32, 60, 64)))
    tokens = "batch seq" if is_batched else "rows"
    logits = draft.normal(
        ("router_logits", "gate_logits", "logits"), f"{tokens} num_experts", rng.choice((1.0, 2.0))
    )
    if draft.dtype != "float32":
        draft.forward(f"{logits} = {logits}.float()")
    if form == "z":
        _z_loss(draft, logits, tokens)
        return draft
    bias = draft.normal(("expert_bias", "bias", "prior"), "num_experts", 1.0, "float32")
    draft.forward(f"{logits} = {logits} + {bias}", f"probs = {softmax_call(draft, logits)}")
    if form == "importance":
        _importance(draft)
    else:
        _fraction(draft, logits, tokens)
    return draft


def _z_loss(draft: Draft, logits: str, tokens: str) -> None:
    valid = draft.mask("mask", tokens, 0.8)
    log_z = draft.pick(f"torch.logsumexp({logits}, dim=-1)", f"{logits}.logsumexp(dim=-1)")
    draft.forward(f"log_z = {log_z}")
    kept = draft.pick(f"log_z.square() * {valid}", f"torch.where({valid}, log_z.square(), 0.0)")
    draft.forward(f"squares = {kept}")
    draft.argument("z_weight", draft.rng.choice((1e-3, 1e-2, 0.1)))
    dim = "" if tokens == "rows" or draft.rng.random() < 0.5 else "dim=1"
    draft.forward(f"return $z_weight * squares.sum({dim}) / {valid}.sum({dim})")


def _importance(draft: Draft) -> None:
    draft.forward(f"importance = {draft.pick('probs.sum(dim=0)', 'torch.sum(probs, dim=0)')}")
    if draft.rng.random() < 0.5:
        draft.forward(
            "mean = importance.mean()",
            "variance = (importance - mean).square().mean()",
            "return variance / (mean.square() + 1e-10)",
        )
    else:
        draft.forward("return importance.var(correction=0) / importance.mean().square()")


def _fraction(draft: Draft, logits: str, tokens: str) -> None:
    """The loss from the shares of tokens and the mean probabilities of each expert."""
    k = draft.rng.choice((1, 2, 2, 4))
    experts, over = f"{logits}.shape[-1]", "dim=0" if tokens == "rows" else "dim=1"
    if draft.dtype == "float32" and draft.rng.random() < 0.4:  # short mantissas would tie
        k = 1
        draft.forward(f"chosen = F.one_hot({logits}.argmax(dim=-1), {experts}).float()")
    else:
        skewed = f"($num_experts * torch.rand({shape(f'{tokens} {k}')}).square()).long()"
        ids = draft.input(("expert_ids", "assigned", "top_idx"), skewed, "int64")
        counted = draft.pick(
            f"F.one_hot({ids}, {experts})",
            f"({ids}.unsqueeze(-1) == torch.arange({experts}, device={ids}.device))",
        )
        draft.forward(f"chosen = {counted}.float().sum(dim=-2)")
    load = draft.pick("fraction", "load", "share")
    draft.forward(
        f"{load} = chosen.mean({over}){'' if k == 1 else f' / {k}'}",
        f"importance = probs.mean({over})",
    )
    factor = ""
    if draft.rng.random() < 0.4:
        draft.argument("alpha", draft.rng.choice((0.01, 0.1)))
        factor = "$alpha * "
    loss = f"{factor}{experts} * ({load} * importance).sum(dim=-1)"
    if draft.rng.random() < 0.3:
        draft.returns = "tuple[torch.Tensor, torch.Tensor]"
        loss += f", {load}"
    draft.forward(f"return {loss}")
