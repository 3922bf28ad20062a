"""What becomes of a step function's results and exceptions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from builder.errors import VerificationRejected, WorkerRejected
from builder.pipeline.steps import checked_result, in_stage, rejection_of, resolve, stage_of

PRIVATE = Path("/private/folder")


def test_in_stage_names_the_stage_and_keeps_the_function():
    def step(payload):
        return payload

    assert stage_of(step) == "worker"
    assert in_stage("capture")(step) is step
    assert stage_of(step) == "capture"


def test_resolve_imports_the_function():
    assert resolve("json:dumps") is sys.modules["json"].dumps


def test_a_result_is_a_value_unless_it_is_a_rejection():
    assert checked_result({"a": 1}, "verify", PRIVATE) == {"value": {"a": 1}}
    given = {"stage": "rewrite", "kind": "k", "message": "m", "deterministic": False, "more": 1}
    assert checked_result({"rejection": given, "a": 1}, "verify", PRIVATE) == {"rejection": given}


def test_a_rejection_is_completed():
    assert checked_result({"rejection": {"kind": "k"}}, "verify", PRIVATE)["rejection"] == {
        "stage": "verify",
        "kind": "k",
        "message": "the step gave no reason",
        "deterministic": True,
    }


def test_a_returned_rejection_holds_no_machine_paths():
    given = {"kind": "k", "message": f"in {PRIVATE}/tmp/a.py: <module at 0x7f00>"}
    message = checked_result({"rejection": given}, "verify", PRIVATE)["rejection"]["message"]
    assert message == "in tmp/a.py: <module at 0x...>"


@pytest.mark.parametrize("returned", [None, [1], {"rejection": "because"}])
def test_other_results_raise(returned):
    with pytest.raises(TypeError, match="not a dict"):
        checked_result(returned, "verify", PRIVATE)


@pytest.mark.parametrize("kind", [VerificationRejected, WorkerRejected])
def test_a_rejected_keeps_its_own_stage(kind):
    assert rejection_of(kind("wrong", "off by 5"), "capture", PRIVATE) == {
        "stage": kind.stage,
        "kind": "wrong",
        "message": "off by 5",
        "deterministic": True,
    }


def test_other_exceptions_keep_type_text_and_place():
    with pytest.raises(ZeroDivisionError) as caught:
        divmod(1, 0)
    found = rejection_of(caught.value, "capture", PRIVATE)
    assert (found["stage"], found["kind"]) == ("capture", "internal_error")
    assert found["message"].startswith("ZeroDivisionError: integer division or modulo by zero (")
    assert found["message"].endswith("divmod(1, 0))")
    assert "test_steps.py, line " in found["message"]


def test_an_exception_that_was_not_raised_has_no_place():
    assert "(no traceback)" in rejection_of(ValueError("x"), "capture", PRIVATE)["message"]


def test_messages_hold_no_machine_paths_and_no_addresses():
    place = Path(pytest.__file__).parent
    text = f"{PRIVATE}/tmp/a.py and {place}/b.py: <function f at 0x7f31aa> is not 0x10"
    message = rejection_of(ValueError(text), "capture", PRIVATE)["message"]
    assert "tmp/a.py and pytest/b.py: <function f at 0x...> is not 0x10" in message
    assert str(PRIVATE) not in message


def test_long_messages_keep_both_ends():
    message = rejection_of(ValueError("a" * 50_000 + "the end"), "capture", PRIVATE)["message"]
    assert len(message) < 9000
    assert message.startswith("ValueError: aaa")
    assert "the end" in message


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_a_failed_allocation_is_no_deterministic_error(error):
    found = rejection_of(error, "capture", PRIVATE)
    assert (found["kind"], found["deterministic"]) == ("memory", False)
    assert found["message"].endswith("raise --memory")
