"""Settings that a version lacks are left out, misspelt ones are not."""

import pytest
import torch
import torch._inductor.config as inductor_config

from builder.capture.inductor import SETTINGS
from builder.capture.versions import SINCE, known


def test_a_setting_is_missing_only_before_its_version():
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    missing = SETTINGS.keys() - known(SETTINGS).keys()
    assert missing == {name for name, since in SINCE.items() if version < since}


def test_an_unknown_setting_is_an_error():
    with pytest.raises(AttributeError), inductor_config.patch(known({"max_autotone_gemm": True})):
        pass
