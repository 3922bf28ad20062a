"""Pairs that call operators beside their kernels: kept, labelled, and held to the label."""

import functools

import pytest
import torch

from builder.capture.targets import resolve_targets
from builder.capture.variants import DEFAULT
from builder.errors import Rejected
from builder.pipeline.making import Maker
from builder.programs.load import load_program
from builder.verify import judge, prepare, verify

H100 = resolve_targets(["cuda:90"])[0]
HEAD = "import torch\nfrom torch import nn\n\n\nclass P(nn.Module):\n"
INVERSE = """\
    def forward(self, x):
        return torch.relu(torch.linalg.inv(x * 0.1 + torch.eye(5, device=x.device) * 9)) + 1


def get_inputs():
    return [torch.randn(3, 5, 5)]
"""
SPECTRUM = """\
    def forward(self, x):
        y = torch.fft.rfft(torch.relu(x))
        return y.real * y.real + y.imag * y.imag


def get_inputs():
    return [torch.randn(4, 16)]


def get_shape_variants():
    return [lambda n=n, m=m: [torch.randn(n, m)] for n, m in ((3, 17), (7, 30), (5, 9))]
"""
FACTORS = """\
    def forward(self, x):
        u, s, v = torch.linalg.svd(x.exp(), full_matrices=False)
        return s + 1, (u * u).sum(1)


def get_inputs():
    return [torch.randn(6, 4)]
"""
PRODUCT = """\
    def forward(self, x, y):
        out = torch.zeros(6, 5, device=x.device, dtype=torch.complex64)
        torch.mm(torch.view_as_complex(x.sin()), torch.view_as_complex(y), out=out[2:5])
        return torch.view_as_real(out).relu()


def get_inputs():
    return [torch.randn(3, 4, 2), torch.randn(4, 5, 2)]
"""
BAG = """\
    def __init__(self):
        super().__init__()
        self.table = nn.EmbeddingBag(10, 4)

    def forward(self, i):
        return self.table(i).relu() + 1


def get_inputs():
    return [torch.randint(10, (3, 2))]
"""
PROGRAMS = {
    "inverse": INVERSE,
    "spectrum": SPECTRUM,
    "factors": FACTORS,
    "product": PRODUCT,
    "bag": BAG,
}
TRAINED = """\
    def forward(self, x):
        y = torch.fft.rfft(torch.sin(x))
        return y.real * y.real + y.imag


def get_inputs():
    return [torch.randn(4, 15, requires_grad=True)]
"""
IS_CHECKED = torch.__version__ >= "2.13"
CHECKED = pytest.mark.skipif(
    not IS_CHECKED, reason="before torch 2.13 the graph of an inverse does not check for errors"
)
CHECK = ("aten._linalg_check_errors.default",) if IS_CHECKED else ()
LABELS = {
    "inverse": (*CHECK, "aten.linalg_inv_ex.default"),
    "spectrum": ("aten._fft_r2c.default",),
    "factors": ("aten._linalg_svd.default",),
    "product": ("aten.full.default", "aten.mm.default", "aten.slice_scatter.default"),
    "bag": ("aten._embedding_bag.default",),
}


def make(body, **options):
    loaded = load_program(HEAD + body, "P")
    captured, triton = Maker(loaded, H100, 0, keeps_library_calls=True, **options)(DEFAULT)
    return captured, triton.text


@functools.cache
def made(name):
    return make(PROGRAMS[name])


@functools.cache
def prepared(name):
    return prepare(HEAD + PROGRAMS[name], "P", draws=2)


def judged(name, text, label=None):
    label = LABELS[name] if label is None else label
    return judge(prepared(name), text, targets=(), fallback_ops=label)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_pair_is_labelled_and_verified(name):
    captured, text = made(name)
    assert captured.every_fallback_op == LABELS[name]
    assert "extern_kernels" not in text
    assert "_inductor" not in text
    found = judged(name, text)
    assert found.agrees, found
    assert captured.static_reason is None


def test_one_that_takes_any_size_and_compiles():
    captured, text = made("spectrum")
    assert captured.sizes.free
    found = verify(
        HEAD + SPECTRUM, text, "P", targets=[H100], draws=1, generic=True,
        fallback_ops=LABELS["spectrum"],
    )  # fmt: skip
    assert found.verified, found
    assert found.shape_generic


def test_gradients_through_a_library_call():
    captured, text = make(TRAINED, differentiate=True)
    assert captured.backward.fallback_ops
    label = captured.every_fallback_op
    ready = prepare(HEAD + TRAINED, "P", mode="training", draws=2)
    found = judge(ready, text, targets=(), fallback_ops=label)
    assert found.agrees, found
    for old, new in (("ifft(", "fft("), ("norm='forward'", "norm='ortho'"), ("tl_math.", "")):
        wrong = text.replace(old.replace("'", '"'), new.replace("'", '"'))
        if wrong != text:
            assert not judge(ready, wrong, targets=(), fallback_ops=label).agrees
    only_forward = captured.fallback_ops
    assert judge(ready, text, targets=(), fallback_ops=only_forward).kind == "static_torch_compute"


FAULTS = [
    ("inverse", "+ 1.0", "+ 1.5"),
    pytest.param("inverse", "out, linalg_inv =", "linalg_inv, out =", marks=CHECKED),
    ("inverse", "0.1", "0.2"),
    ("inverse", "(25, 1, 5))", "(25, 5, 1))"),
    ("spectrum", "dim=1", "dim=0"),
    ("spectrum", "dim=1", 'dim=1, norm="ortho"'),
    ("factors", "+ 1.0", "- 1.0"),
    ("product", "0, 2, 5", "0, 1, 4"),
    ("bag", "embedding_bag_out, False, 1", "embedding_bag_out, False, 0"),
]


@pytest.mark.parametrize(("name", "old", "new"), FAULTS)
def test_a_fault_is_found(name, old, new):
    _, text = made(name)
    assert old in text
    assert not judged(name, text.replace(old, new)).agrees


@CHECKED
def test_without_a_label_it_is_refused():
    _, text = made("inverse")
    assert judged("inverse", text, ()).kind == "static_forbidden_name"


UNLABELLED = [
    ("x = torch.clone(x)", "static_torch_compute"),
    ("x = x * 1", "host_compute"),
    ("x = torch.linalg.inv(x)", "static_torch_compute"),
    ("x = torch.ops.aten.linalg_inv_ex.inverse(x)", "static_torch_compute"),
    ("x = torch.ops.aten._linalg_det.default(x)", "static_forbidden_name"),
    ("f = torch.sin\n        x = f(x)", "host_compute"),
    ("x = torch.linalg.eigh(x)", "static_torch_compute"),
]


@pytest.mark.parametrize(("line", "kind"), UNLABELLED)
def test_one_more_call_is_refused(line, kind):
    _, text = made("inverse")
    place = "        check_tensor("
    assert place in text
    wrong = text.replace(place, f"        {line}\n{place}", 1)
    found = judged("inverse", wrong)
    assert found.kind == kind, found


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        pytest.param(("aten.linalg_inv_ex.default",), "static_forbidden_name", marks=CHECKED),
        (("aten.linalg_inv_ex.inverse", *CHECK), "static_torch_compute"),
        ((*LABELS["inverse"], "aten.mm.default"), "library_label"),
        ((*LABELS["inverse"], "aten.bernoulli.p"), "library_call"),
        ((*LABELS["inverse"], "aten.from_file.default"), "library_call"),
        ((*LABELS["inverse"], "torch.linalg.inv"), "library_call"),
        (("linalg_inv_ex",), "library_call"),
    ],
)
def test_a_wrong_label_is_refused(label, kind):
    _, text = made("inverse")
    assert judged("inverse", text, label).kind == kind


WHOLE = """\
class PNew(nn.Module):
    @torch.no_grad()
    def forward(self, x):
        total = torch.empty((3, 5, 5), dtype=torch.float32, device=x.device)
        launch_mul_eye_add(x, total)
        launch_relu_add(total)
        eye = torch.mul(torch.eye(5, device=x.device), 9.0)
        inverse, info = torch.linalg.inv_ex(torch.add(torch.mul(x, 0.1), eye))
        torch.ops.aten._linalg_check_errors.default(info, "linalg.inv", is_matrix=False)
        check_layout("inverse", inverse, (3, 5, 5), (25, 1, 5))
        return torch.add(torch.relu(inverse), 1.0)
"""


@CHECKED
def test_kernels_that_do_not_matter_are_refused():
    _, text = made("inverse")
    added = ("aten.add.Tensor", "aten.eye.default", "aten.mul.Tensor", "aten.relu.default")
    cheat = text[: text.index("class PNew")] + WHOLE
    found = judged("inverse", cheat, (*LABELS["inverse"], *added))
    assert found.kind == "idle_kernels", found


def test_nothing_but_library_calls_is_no_pair():
    body = INVERSE.replace("torch.relu(", "(").replace(
        " * 0.1 + torch.eye(5, device=x.device) * 9", ""
    )
    with pytest.raises(Rejected) as caught:
        make(body.replace(" + 1\n", "\n"))
    assert caught.value.kind == "library_call"


def test_what_the_user_differentiates_is_not_recorded():
    _, text = made("bag")
    assert "@torch.no_grad()\n    def forward" in text
