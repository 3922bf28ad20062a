"""One preparation judges many texts, each as ``verify`` would."""

import os

import pytest
import torch

from builder.capture.targets import resolve_targets
from builder.errors import ProgramRejected, Rejected, UsageError, VerificationRejected
from builder.verify import Costs, Prepared, Verdict, judge, prepare, verify
from builder.verify.domain import domains
from builder.verify.draws import DISTRIBUTIONS
from builder.verify.input_sets import draws_apart
from builder.verify.match import match
from builder.verify.runner import run_triton
from builder.verify.trial import Trial
from tests.verify.data import buckets, histogram, loss, matmul

HOPPER = resolve_targets(["cuda:90"])
WRONG = loss.TRITON.replace("1 + tl.abs", "1.0001 + tl.abs")
MEAN = loss.PYTHON.replace("(target - pred)", "(target - pred.mean())")
VARIANTS = (
    "\n\ndef get_shape_variants():\n"
    "    return [lambda: [torch.randn(3, 7), torch.randn(3, 7)],\n"
    "            lambda: [torch.randn(1, 1), torch.randn(1, 1)]]\n"
)


def in_a_child(prepared: Prepared, text: str) -> Verdict:
    """The verdict of a forked process."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, judge(prepared, text, targets=()).to_json().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    return Verdict.from_json(text)


@pytest.mark.parametrize("text", [loss.TRITON, WRONG, "import os\n"])
def test_verdict_is_that_of_verify(text):
    prepared = prepare(loss.PYTHON + VARIANTS, "Loss", draws=4, seed=3, variants=(0, 1))
    whole = verify(
        loss.PYTHON + VARIANTS, text, "Loss", targets=HOPPER, draws=4, seed=3, variants=(0, 1)
    )
    assert judge(prepared, text, targets=HOPPER) == whole
    assert judge(prepared, text, targets=HOPPER) == whole


def test_without_a_target_nothing_is_verified():
    prepared = prepare(loss.PYTHON, "Loss", draws=2)
    right = judge(prepared, loss.TRITON, targets=())
    assert (right.verified, right.agrees, right.kind) == (False, True, "not_compiled")
    assert right.compiled_targets == ()
    wrong = judge(prepared, WRONG, targets=())
    assert (wrong.verified, wrong.agrees, wrong.kind) == (False, False, "wrong_values")


def test_forked_children_judge_by_what_the_parent_evaluated(monkeypatch):
    prepared = prepare(buckets.PYTHON, "Buckets", draws=3)
    prepared.evaluate()
    monkeypatch.setattr("builder.verify.question.run_original", None)
    assert in_a_child(prepared, buckets.TRITON).agrees
    wrong = in_a_child(prepared, buckets.TRITON.replace("x > 0.25", "x > 0.3"))
    assert wrong.kind == "wrong_discrete"
    assert in_a_child(prepared, buckets.TRITON).agrees


def test_answers_of_an_evaluated_program_stay_the_same():
    prepared = prepare(loss.PYTHON, "Loss", draws=3)
    first = [prepared.question(index) for index in range(len(prepared))]
    assert [prepared.question(index) for index in range(len(prepared))] == first
    torch.manual_seed(99)
    other = prepare(loss.PYTHON, "Loss", draws=3)
    for index, question in enumerate(first):
        ours = question.original.expected["output 0"].reference
        theirs = other.question(index).original.expected["output 0"].reference
        assert torch.equal(ours, theirs)


def test_a_program_that_does_not_load_is_rejected():
    with pytest.raises(Rejected):
        prepare("import torch\n", "Loss")
    with pytest.raises(UsageError):
        prepare(loss.PYTHON, "Loss", draws=0)
    with pytest.raises(UsageError):
        judge(prepare(loss.PYTHON, "Loss"), loss.TRITON, targets=(), dot_precision="x")


def test_default_dtype_of_the_program_is_its_own():
    python = loss.PYTHON.replace(
        "import torch\n", "import torch\n\ntorch.set_default_dtype(torch.float64)\n", 1
    )
    prepared = prepare(python, "Loss", draws=2)
    assert torch.get_default_dtype() == torch.float32
    assert prepared.question(1).case.inputs[0].dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32


def test_costs_are_counted_apart_and_change_no_verdict():
    arguments = (matmul.python("float32"), matmul.triton("float32"), "Linear")
    costs = Costs()
    verdict = verify(*arguments, targets=HOPPER, costs=costs)
    assert verdict.verified, verdict.reason
    assert verdict == verify(*arguments, targets=HOPPER)
    parts = (costs.reference, costs.executor, costs.comparison, costs.compilation, costs.rest)
    assert min(parts) > 0
    assert costs.total == pytest.approx(sum(parts))
    assert costs.verification == pytest.approx(costs.executor + costs.comparison)


def test_answers_asked_for_while_comparing_count_as_reference():
    costs = Costs()
    with costs.of("comparison"), costs.of("reference"):
        sum(range(200_000))
    assert costs.reference > 10 * costs.comparison


def test_atomics_are_judged_with_the_same_determinism():
    prepared = prepare(histogram.PYTHON, "Histogram")
    assert not judge(prepared, histogram.TRITON, targets=HOPPER).deterministic


def test_draw_that_shows_nothing_gives_way_to_a_milder_one(monkeypatch):
    asked = []

    def blind(original, run, before, *args, **options):
        asked.append(before["input 0"])
        if len(asked) in (2, 3):
            raise VerificationRejected("ill_conditioned", "nothing to see")
        return match(original, run, before, *args, **options)

    monkeypatch.setattr("builder.verify.trial.match", blind)
    verdict = verify(loss.PYTHON, loss.TRITON, "Loss", targets=HOPPER, draws=2)
    assert verdict.verified, verdict.reason
    assert (verdict.draws, verdict.replaced_draws) == (2, 2)
    first, hidden, milder, plain = (inputs.double() for inputs in asked)
    assert not torch.equal(hidden, plain)
    assert plain.unique().numel() == plain.numel() > milder.unique().numel()
    assert not torch.equal(first, plain)


MASKED = """
import torch
from torch import nn


class Attend(nn.Module):
    def forward(self, scores, keep):
        return scores.masked_fill(~keep, float("-inf")).softmax(-1)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 50), torch.rand(6, 50) < 0.5]
"""


def test_rows_wholly_masked_give_way_to_masks_as_drawn():
    prepared = prepare(MASKED, "Attend")
    large = prepared.question(4)
    scores, keep = large.case.inputs
    assert (large.replaced, large.plain) == (1, False)
    assert bool(keep.any(-1).all())
    assert scores[1].max() < -104
    assert scores[2].min() > 104


def test_plain_draw_that_shows_nothing_is_a_rejection(monkeypatch):
    def blind(*_, **__):
        raise VerificationRejected("ill_conditioned", "nothing to see")

    monkeypatch.setattr("builder.verify.trial.match", blind)
    verdict = verify(loss.PYTHON, loss.TRITON, "Loss", targets=HOPPER, draws=2)
    assert (verdict.verified, verdict.kind, verdict.replaced_draws) == (False, "ill_conditioned", 0)


@pytest.mark.parametrize(("uses_atomics", "runs"), [(False, 3 + 2), (True, 8)])
def test_second_runs_are_taken_where_order_may_matter(monkeypatch, uses_atomics, runs):
    orders = []

    def counted(case, new, *, permute_seed=None, second=False, **options):
        orders.append((permute_seed is not None, second))
        return run_triton(case, new, permute_seed=permute_seed, second=second, **options)

    monkeypatch.setattr("builder.verify.trial.run_triton", counted)
    text = loss.TRITON + ("\n# atomic_add\n" if uses_atomics else "")
    prepared = prepare(loss.PYTHON + VARIANTS, "Loss", draws=4, variants=(0, 1))
    assert judge(prepared, text, targets=()).agrees
    assert len(orders) == runs
    if not uses_atomics:
        plain, again, permuted = (False, False), (True, True), (True, False)
        assert orders == [plain, plain, plain, again, permuted]


def test_shape_variants_take_draws_of_the_declared_shape():
    def sets(**options):
        prepared = prepare(MEAN + VARIANTS, "Loss", **options)
        return prepared._sets, prepared.draws

    plain, tied, mixed, tiny, large, sparse, _, _, shifted = range(9)
    variants = [(tied, 0), (mixed, 1), (shifted, 0)]
    taken = [(plain, None), (tiny, None), (sparse, None), *variants[:2]]
    assert sets(generic=True) == (taken, 3)
    assert sets(variants=(0, 1)) == ([*taken[:2], (large, None), (sparse, None), *variants], 4)
    deferred = prepare(MEAN + VARIANTS, "Loss", generic=True)
    assert deferred.deferred({plain, sparse}) == [5, 6]
    assert [deferred.question(place).draw for place in (5, 6)] == [large, shifted]
    assert deferred.deferred({large, shifted}) == []
    assert sets() == ([(d, None) for d in (*range(6), shifted)], 7)
    assert sets(draws=1, variants=(0,)) == ([(plain, None), (plain, 0)], 1)


def test_what_adds_up_is_told_apart_only_where_it_differs():
    signed, positive = torch.randn(5), torch.rand(5) * 3
    unit = torch.rand(50) * 1.98 - 0.99

    def taken(*inputs, has_matrix=False, text="x.mean()"):
        draws = draws_apart(domains(list(inputs)), text, has_matrix=has_matrix)
        return [DISTRIBUTIONS[draw] for draw in draws]

    assert taken(signed) == ["shifted"]
    assert taken(positive) == taken(unit) == taken(torch.arange(5)) == []
    assert taken(positive, has_matrix=True) == ["muted"]
    assert taken(signed, has_matrix=True) == ["muted", "shifted"]
    for text in ("nn.LayerNorm(5)", "torch.var(x, 0)", "x.cov()", "x.sum(-1)", "var_mean(x)"):
        assert taken(signed, text=text) == ["shifted"]
    for text in ("def get_shape_variants", "x.cumsum(0)", "x.std_dev", "x.relu()"):
        assert taken(signed, text=text) == []
    assert taken(torch.arange(5), has_matrix=True) == []


def test_the_largest_shape_takes_what_tells_apart_what_adds_up():
    prepared = prepare(MEAN + VARIANTS, "Loss", generic=True)
    asked = [next(group) for group in prepared.others()]
    names = [DISTRIBUTIONS[question.draw] for question in asked]
    assert names[:5] == ["sparse", "tied", "shifted", "large", "vanishing"]
    shapes = [question.case.inputs[0].shape for question in asked]
    assert shapes[1] == shapes[2]
    assert max(shapes[1]) > 50
    assert prepared.deferred({question.draw for question in asked}) == []


@pytest.mark.parametrize("has_others", [True, False])
def test_large_numbers_are_tried_on_the_largest_shape_or_else_on_the_declared_one(
    monkeypatch, has_others
):
    prepared = prepare(loss.PYTHON + VARIANTS, "Loss", generic=True)
    declared = [tensor.shape for tensor in prepared.question(0).case.inputs]
    if not has_others:
        monkeypatch.setattr(prepared, "others", lambda _: iter(()))
    taken = []
    compare = Trial._compare

    def noted(self, question, *args, **options):
        taken.append((question.draw, [one.shape for one in question.case.inputs] == declared))
        return compare(self, question, *args, **options)

    monkeypatch.setattr(Trial, "_compare", noted)
    text = loss.TRITON.replace(
        "        out =",
        "        if pred.shape != target.shape:\n            raise ValueError\n        out =",
    )
    assert judge(prepared, text, targets=()).agrees
    assert {is_declared for draw, is_declared in taken if draw == 4} == {not has_others}


GAIN = "        self.gain = nn.Parameter(torch.ones(50))\n"
USELESS = {
    "constant_output": (
        "return (target - pred) / (1 + pred.abs())",
        "return torch.ones_like(pred)",
    ),
    "ignores_input": ("return (target - pred)", "return (pred - pred * 2)"),
}


@pytest.mark.parametrize("kind", USELESS)
def test_program_that_shows_nothing_of_its_inputs_is_refused(kind):
    old, new = USELESS[kind]
    assert old in loss.PYTHON
    verdict = verify(loss.PYTHON.replace(old, new), loss.TRITON, "Loss", targets=HOPPER)
    assert (verdict.verified, verdict.kind) == (False, kind), verdict.reason


def test_program_that_ignores_a_parameter_is_refused():
    start = "    def forward("
    assert start in loss.PYTHON
    python = loss.PYTHON.replace(
        start, f"    def __init__(self):\n        super().__init__()\n{GAIN}\n{start}", 1
    )
    verdict = verify(python, loss.TRITON, "Loss", targets=HOPPER)
    assert verdict.kind in ("ignores_input", "state_dict")
    with pytest.raises(Rejected, match="gain"):
        prepare(python, "Loss").question(0)


INDEXED = """
import torch
from torch import nn


class Indexed(nn.Module):
    def forward(self, x, index, order):
        return x[index] + x[order][:40]


def get_init_inputs():
    return []


def get_inputs():
    index = torch.randint(0, 5000, (40,))
    order, _ = torch.randint(0, 5000, (50,)).sort()
    return [torch.randn(5000, 4), index.to(torch.int32), order]
"""


def test_drawn_integers_reach_the_ends_of_their_range_but_in_plain_draws():
    prepared = prepare(INDEXED, "Indexed", draws=6)
    for number in range(6):
        _, index, order = prepared.question(number).case.inputs
        assert ((int(index.min()), int(index.max())) == (0, 4999)) == (number > 0)
        assert torch.equal(order, order.sort().values)
    assert prepared.declared_bounds(0) == {"input 1": (0, 4999), "input 2": (0, 4999)}


SORTS_TIES = """\
import torch
from torch import nn


class SortsTies(nn.Module):
    def forward(self, x):
        return (x.clamp(-0.5, 0.5) @ torch.full((64, 48), 0.1)).argsort(-1).float() * x.mean()


def get_inputs():
    return [torch.randn(32, 64)]


def get_init_inputs():
    return []
"""


def test_a_program_whose_decisions_hang_on_rounding_is_rejected():
    with pytest.raises(ProgramRejected) as found:
        prepare(SORTS_TIES, "SortsTies", draws=1).question(0)
    assert found.value.kind == "unstable"
    stable = SORTS_TIES.replace(
        "torch.full((64, 48), 0.1)", "torch.ones(64, 48).cumsum(0).cumsum(1)"
    )
    assert prepare(stable, "SortsTies", draws=1).question(0).replaced == 0
