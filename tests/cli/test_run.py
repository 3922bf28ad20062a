"""What a build says that finds too few pairs."""

from builder.cli.run import refusals
from builder.pipeline.build import FRUITLESS


def rejection(kind, message):
    return {"kind": kind, "message": message}


def test_what_most_of_the_last_programs_were_refused_for_is_named():
    earlier = [rejection("not_finite", "earlier")] * FRUITLESS
    last = [rejection("duplicate", "raise --most-alike")] * (FRUITLESS - 1)
    found = refusals([*earlier, rejection("too_large", "smaller"), *last])
    assert f"{FRUITLESS - 1} were refused as duplicate" in found
    assert found.endswith("raise --most-alike")
    assert "earlier" not in found
