"""Good pairs pass."""

from builder.capture.targets import resolve_targets
from builder.verify import verify
from tests.verify.data import softmax

HOPPER = resolve_targets(["cuda:90"])


def test_softmax_passes():
    verdict = verify(softmax.PYTHON, softmax.TRITON, "Softmax", targets=HOPPER)
    assert verdict.verified, verdict.reason
    assert verdict.kernel_names == ("softmax_kernel",)
