"""Frames and the jobs in them."""

from __future__ import annotations

import os
import re

import pytest

from builder.pipeline.messages import (
    MAX_MESSAGE_BYTES,
    FrameReader,
    Job,
    encode,
    receive,
    write_all,
)

MESSAGES = [{"a": 1}, {"text": "päir \ud800 \U0001f600"}, {"nested": [1.5, None, {"b": []}]}, {}]


def test_messages_survive_any_cut_of_the_bytes():
    data = b"".join(encode(message) for message in MESSAGES)
    for size in (1, 2, 3, 7, len(data)):
        reader = FrameReader()
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert [message for piece in pieces for message in reader.feed(piece)] == MESSAGES


def test_infinity_and_nan_survive():
    (message,) = FrameReader().feed(encode({"inf": float("inf"), "nan": float("nan")}))
    assert message["inf"] == float("inf")
    assert message["nan"] != message["nan"]


@pytest.mark.parametrize(
    "data",
    [
        (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x03[1]",
        b"\x00\x00\x00\x02\xff\xff",
        b"\x00\x00\x00\x01{",
    ],
    ids=["too long", "no object", "no text", "no JSON"],
)
def test_what_is_no_frame_raises(data):
    with pytest.raises(ValueError, match=r"."):
        FrameReader().feed(data)


def test_a_message_above_the_limit_raises():
    with pytest.raises(ValueError, match="above the 10 allowed"):
        encode({"text": "0123456789"}, limit=10)


def test_receive_reads_messages_to_the_end_of_the_pipe():
    read, write = os.pipe()
    reader = FrameReader()
    for message in MESSAGES:
        write_all(write, encode(message))
        assert receive(read, reader) == message
    os.close(write)
    assert receive(read, reader) is None
    os.close(read)


@pytest.mark.parametrize("step", ["", "module", "module:", ":function", "module:a.b", "a:b:c"])
def test_a_step_must_name_module_and_function(step):
    with pytest.raises(ValueError, match=re.escape(repr(step))):
        Job("key", (step,), {})


def test_a_job_needs_a_step():
    with pytest.raises(ValueError, match="no steps"):
        Job("key", (), {})
