"""The seams of operators with graphs: there, and left as they were."""

import torch
from torch._inductor import fx_utils
from torch.fx import symbolic_trace

from builder.capture import subgraphs


def test_the_seam_is_there_since_2_13_and_left_as_it_was():
    since = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13)
    assert hasattr(fx_utils, subgraphs._EXTRACT) == since
    before = getattr(fx_utils, subgraphs._EXTRACT, None)
    with subgraphs.without_driver():
        assert getattr(fx_utils, subgraphs._EXTRACT, None) is not before or before is None
    assert getattr(fx_utils, subgraphs._EXTRACT, None) is before


def test_marks_are_removed_and_others_stay():
    gm = symbolic_trace(lambda x: torch.sin(x) + 1)
    node = next(node for node in gm.graph.nodes if node.op == "call_function")
    node.meta["custom"] = {"fallback_to_eager": True, "mine": 1}
    subgraphs.without_fallbacks(gm)
    assert node.meta["custom"] == {"mine": 1}
