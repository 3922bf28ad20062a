from __future__ import annotations

import json
import uuid

import pyarrow as pa
import pytest

from builder.dataset.schema import (
    COLUMNS,
    DESCRIPTIONS,
    MAX_MESSAGE,
    REJECTION_SCHEMA,
    SCHEMA,
    make_rejection,
    make_row,
    round_up,
    tidy_message,
)
from tests.dataset.samples import capture, program, rejection, row, verdict


def test_a_row_has_exactly_the_columns_and_survives_json():
    made = row(5)
    assert list(made) == SCHEMA.names
    assert json.loads(json.dumps(made)) == made
    assert pa.Table.from_pylist([made], schema=SCHEMA).to_pylist() == [made]


def test_kernelbook_names_are_kept():
    wanted = {"entry_point", "python_code", "triton_code", "original_triton_code", "uuid"}
    assert wanted <= set(SCHEMA.names)


def test_every_column_is_described_once():
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert all(text.strip() for text in DESCRIPTIONS.values())


def test_identity_is_a_function_of_the_texts():
    made, same, other = row(1), row(1, license="MIT"), row(2)
    assert made["pair_id"] == same["pair_id"] != other["pair_id"]
    assert len(made["pair_id"]) == 16
    assert uuid.UUID(made["uuid"]).version == 5
    assert made["uuid"] == same["uuid"] != other["uuid"]


def test_the_verdict_fills_error_input_sets_and_resources_of_the_target():
    made = row()
    assert made["error"] == 2.0**-21
    assert made["error"] >= 3e-7
    assert made["input_sets"] == 3
    assert (made["registers"], made["shared_memory"], made["spills"]) == (16, 128, 0)


def test_resources_of_another_target_are_not_taken():
    made = row(target="cuda:80")
    assert (made["registers"], made["shared_memory"], made["spills"]) == (None, None, None)


def test_a_users_file_has_no_family_and_no_seed():
    made = row(source="file:model.py", seed=None)
    assert (made["family"], made["seed"], made["source"]) == (None, None, "file:model.py")
    assert row(4)["family"] == "family_1"


@pytest.mark.parametrize(
    ("error", "stored"),
    [(0.0, 0.0), (1.0, 1.0), (1.1, 2.0), (0.5, 0.5), (3e-7, 2.0**-21), (5e-324, 5e-324)],
)
def test_errors_are_rounded_up_to_a_power_of_two(error, stored):
    assert round_up(error) == stored


@pytest.mark.parametrize("changed", [{"verified": False}, {"verified": None}])
def test_what_is_not_verified_is_no_row(changed):
    with pytest.raises(ValueError, match="not verified"):
        make_row(program(), capture(), verdict() | changed)


def test_an_unknown_field_is_an_error_and_not_dropped():
    with pytest.raises(ValueError, match="licence"):
        make_row(program() | {"licence": "MIT"}, capture(), verdict())


@pytest.mark.parametrize("missing", ["original_triton_code", "target", "kernel_kinds"])
def test_a_missing_field_is_named(missing):
    fields = {name: value for name, value in capture().items() if name != missing}
    with pytest.raises(ValueError, match=missing):
        make_row(program(), fields, verdict())


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "two"},
        {"flops": 2**70},
        {"kernel_kinds": "pointwise"},
        {"original_triton_code": "\ud800"},
        {"stochastic": "no"},
    ],
)
def test_a_value_of_another_type_is_an_error(wrong):
    with pytest.raises(ValueError, match="does not fit"):
        row(**wrong)


def test_a_rejection_fits_its_schema():
    made = rejection(7, seed=None, deterministic=False)
    assert list(made) == REJECTION_SCHEMA.names
    assert made["seed"] is None
    assert made["deterministic"] is False


def test_a_rejection_needs_its_stage():
    with pytest.raises(ValueError, match="stage"):
        make_rejection(seed=1, source="family:x", stage=None, kind="k", message="m")


@pytest.mark.parametrize(
    ("message", "tidied"),
    [
        ("<object at 0x7f3a12bc9d80> failed", "<object at 0x...> failed"),
        ('File "/usr/lib/python3/site.py", line 3', 'File "site.py", line 3'),
        ("line 3: x = a/b/c", "line 3: x = a/b/c"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("mask 0x1f is kept", "mask 0x1f is kept"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
    ],
)
def test_messages_hold_nothing_that_differs_between_runs(message, tidied):
    assert tidy_message(message) == tidied


def test_a_huge_message_is_cut_and_says_so():
    tidied = tidy_message("x" * 10_000_000)
    assert len(tidied) < MAX_MESSAGE + 100
    assert tidied.endswith("(9996000 more characters)")
