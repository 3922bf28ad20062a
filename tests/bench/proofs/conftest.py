"""What several tests of proofs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench.proofs.pointwise_samples import pointwise_prepared

if TYPE_CHECKING:
    from builder.verify import Prepared


@pytest.fixture(scope="module")
def pointwise() -> Prepared:
    return pointwise_prepared()
