"""The same surroundings for every test, whatever the terminal or the account it is run from."""

import os
import random
import signal
import zlib

import numpy as np
import pytest
import torch

DEADLINE_S = 300

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def same_numbers(request):
    """A test draws the same whenever it runs, and whatever ran before it."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@pytest.fixture(autouse=True)
def deadline():
    """A test that hangs fails, and holds up no other."""

    def late(*_):
        raise TimeoutError(f"no end after {DEADLINE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
