import pytest

from builder.capture.targets import TARGETS, resolve_targets
from builder.errors import UsageError


def test_names_resolve_in_order_without_duplicates():
    names = ["hip:gfx942", "cuda:90", "hip:gfx942"]
    assert [target.name for target in resolve_targets(names)] == ["hip:gfx942", "cuda:90"]


def test_unknown_target_names_the_valid_ones():
    with pytest.raises(UsageError, match=r"cuda:91.*cuda:90.*hip:gfx942"):
        resolve_targets(["cuda:90", "cuda:91"])


def test_figures_are_what_triton_is_told():
    assert TARGETS["cuda:120"].capability == (12, 0)
    assert TARGETS["cuda:90"].gpu_target.arch == 90
    assert TARGETS["hip:gfx942"].gpu_target.warp_size == 64
    assert TARGETS["cuda:86"].shared_memory < TARGETS["cuda:80"].shared_memory
