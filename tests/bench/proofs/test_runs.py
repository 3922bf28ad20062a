"""Proofs run only what differs: what two texts begin with is the same, and so is what follows."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import FINITE_TERMS, SAME_TERMS, proven_equivalent
from builder.bench.proofs.terms import Unprovable
from builder.verify import Prepared, prepare
from tests.bench.verifier_samples import CURVE, CURVE_PROGRAM

FIRST_STORE = "tl.store(out_ptr0 + xindex, tmp2, xmask)"
LAST_STORE = "tl.store(out_ptr0 + xindex, tmp3)"
HALF = "return x * 0.5"
SUM = "tmp3 = tmp0 - tmp2"
CALL = "launch_sub(buf0, x, buf1, 4)"


@pytest.fixture(scope="module")
def curve() -> Prepared:
    return prepare(CURVE_PROGRAM, "Curve", draws=1)


def changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def guarded(store: str) -> str:
    """The text with a store that no run on symbols has a rule for."""
    return changed(CURVE, (store, f"if tl.load(in_ptr0) > 0: {store}"))


@pytest.mark.parametrize(
    ("store", "old", "new"),
    [
        (FIRST_STORE, SUM, "tmp3 = 0.0 + tmp0 - tmp2"),
        (LAST_STORE, HALF, "return (0.0 + x) * 0.5"),
    ],
)
def test_a_launch_that_both_have_needs_no_rule(
    curve: Prepared, store: str, old: str, new: str
) -> None:
    text = guarded(store)
    assert proven_equivalent(curve, text, changed(text, (old, new))) == SAME_TERMS


@pytest.mark.parametrize(
    ("store", "old", "new"),
    [
        (FIRST_STORE, SUM, "tmp3 = tmp0 + tmp2"),
        (FIRST_STORE, SUM, "tmp3 = tmp0 - tmp2 * 1.0000001"),
        (FIRST_STORE, CALL, "launch_sub(x, buf0, buf1, 4)"),
        (FIRST_STORE, CALL, "launch_sub(buf0, x, buf1, 3)"),
        (LAST_STORE, HALF, "return x * 0.25"),
        (LAST_STORE, CALL, f"launch_tanh(buf0, buf0); {CALL}"),
    ],
)
def test_what_differs_beside_it_is_not_the_same(
    curve: Prepared, store: str, old: str, new: str
) -> None:
    text = guarded(store)
    with pytest.raises(Unprovable):
        proven_equivalent(curve, text, changed(text, (old, new)))


def test_what_memory_holds_counts_where_any_memory_would_not_do(curve: Prepared) -> None:
    zeros = changed(CURVE, (FIRST_STORE, "tl.store(out_ptr0 + xindex, tmp2 * 0.0, xmask)"))
    unused = changed(zeros, (SUM, "tmp3 = tmp0 * 0.25 - tmp2"))
    assert proven_equivalent(curve, zeros, unused) == FINITE_TERMS
    assert (
        proven_equivalent(curve, CURVE, changed(CURVE, (SUM, "tmp3 = tmp0 * 0.25 - tmp2"))) is None
    )


def test_infinities_from_earlier_launches_are_not_forgotten(curve: Prepared) -> None:
    store = "tl.store(out_ptr0 + xindex, tmp2 + float('inf'), xmask)"
    nothing = "tmp3 = tmp0 - tmp0 - tmp2"
    for text, proof in ((CURVE, FINITE_TERMS), (changed(CURVE, (FIRST_STORE, store)), None)):
        without = changed(text, (SUM, "tmp3 = 0.0 - tmp2"))
        assert proven_equivalent(curve, without, changed(text, (SUM, nothing))) == proof


def test_changes_in_two_launches_are_both_seen(curve: Prepared) -> None:
    both = changed(CURVE, (HALF, "return (0.0 + x) * 0.5"), (SUM, "tmp3 = 0.0 + tmp0 - tmp2"))
    assert proven_equivalent(curve, CURVE, both) == SAME_TERMS
    one = changed(CURVE, (HALF, "return 0.25 * x"), (SUM, "tmp3 = 0.0 + tmp0 - tmp2"))
    assert proven_equivalent(curve, CURVE, one) is None
    undone = changed(CURVE, (HALF, "return -(0.5 * (0.0 + x))"), (SUM, "tmp3 = -tmp0 - tmp2"))
    assert proven_equivalent(curve, CURVE, undone) == SAME_TERMS
    twice = changed(
        CURVE, ("launch_tanh(x, buf0)\n", "launch_tanh(x, buf0); launch_tanh(x, buf0)\n")
    )
    assert proven_equivalent(curve, CURVE, twice) == SAME_TERMS


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("launch_tanh(x, buf0)\n", "buf0.zero_(); launch_tanh(x, buf0)\n", SAME_TERMS),
        (CALL, f"buf1.zero_(); {CALL}", SAME_TERMS),
        (CALL, f"{CALL}; buf0.zero_()", SAME_TERMS),
        ("launch_tanh(x, buf0)\n", "launch_tanh(x, buf0); buf0.zero_()\n", None),
        (CALL, f"{CALL}; buf1.zero_()", None),
        ("launch_tanh(x, buf0)\n", "launch_tanh(x, buf0); x.zero_()\n", None),
    ],
)
def test_a_storage_that_is_set_to_zero(
    curve: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proven_equivalent(curve, CURVE, changed(CURVE, (old, new))) == proof
