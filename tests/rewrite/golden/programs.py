"""Programs whose Triton stands beside them, one for each kind of kernel."""

BIAS_GELU = '''
import torch
import torch.nn.functional as F
from torch import nn

FEATURES = 768


class BiasGelu(nn.Module):
    """Pointwise, for any number of tokens."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(FEATURES) * 0.1)

    def forward(self, x):
        hidden = x + self.bias
        return F.gelu(hidden)


def make_inputs(batch, tokens):
    return [torch.randn(batch, tokens, FEATURES)]


def get_inputs():
    return make_inputs(4, 128)


def get_shape_variants():
    return [lambda: make_inputs(2, 24), lambda: make_inputs(3, 47), lambda: make_inputs(5, 9)]


def get_init_inputs():
    return []
'''

SOFTMAX = '''
import torch
from torch import nn


class Softmax(nn.Module):
    """A row in one block: a persistent reduction."""

    def forward(self, logits):
        row_max = logits.amax(dim=-1, keepdim=True)
        numerator = torch.exp(logits - row_max)
        return numerator / numerator.sum(dim=-1, keepdim=True)


def make_inputs(rows):
    return [torch.randn(rows, 1000)]


def get_inputs():
    return make_inputs(512)


def get_shape_variants():
    return [lambda: make_inputs(24), lambda: make_inputs(47), lambda: make_inputs(40)]


def get_init_inputs():
    return []
'''

RMS_NORM = '''
import torch
from torch import nn


class RMSNorm(nn.Module):
    """Rows longer than a block: a reduction that loops."""

    def __init__(self, features, eps):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features) + 0.1 * torch.randn(features))

    def forward(self, x):
        mean_square = x.pow(2).mean(dim=-1, keepdim=True)
        normalized = x * torch.rsqrt(mean_square + self.eps)
        return normalized * self.weight


def make_inputs(rows):
    return [torch.randn(rows, 5120)]


def get_inputs():
    return make_inputs(256)


def get_shape_variants():
    return [lambda: make_inputs(6), lambda: make_inputs(13), lambda: make_inputs(8)]


def get_init_inputs():
    return [5120, 1e-6]
'''

CUMULATIVE = '''
import torch
from torch import nn


class RunningMean(nn.Module):
    """A scan."""

    def forward(self, values):
        totals = torch.cumsum(values, dim=-1)
        counts = torch.arange(1, values.shape[-1] + 1, device=values.device)
        return totals / counts


def get_inputs():
    return [torch.randn(64, 500)]


def get_init_inputs():
    return []
'''

SORT = '''
import torch
from torch import nn


class TrimmedRange(nn.Module):
    """A sort."""

    def forward(self, samples):
        ordered, _ = torch.sort(samples, dim=-1)
        return ordered * 0.5


def get_inputs():
    return [torch.randn(96, 128)]


def get_init_inputs():
    return []
'''

LINEAR = '''
import torch
import torch.nn.functional as F
from torch import nn

IN_FEATURES = 512
OUT_FEATURES = 1024


class LinearSilu(nn.Module):
    """A matrix product with its epilogue: a template."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(IN_FEATURES, OUT_FEATURES, dtype=torch.bfloat16)

    def forward(self, x):
        return F.silu(self.proj(x))


def make_inputs(tokens):
    return [torch.randn(tokens, IN_FEATURES, dtype=torch.bfloat16)]


def get_inputs():
    return make_inputs(512)


def get_shape_variants():
    return [lambda: make_inputs(24), lambda: make_inputs(47), lambda: make_inputs(130)]


def get_init_inputs():
    return []
'''

ATTENTION = '''
import math

import torch
from torch import nn

HEADS = 4
HEAD_SIZE = 64


class CausalAttention(nn.Module):
    """Two products around a masked softmax."""

    def forward(self, query, key, value):
        scores = query @ key.transpose(-2, -1) / math.sqrt(HEAD_SIZE)
        length = query.shape[-2]
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
        weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)
        return weights @ value


def get_inputs():
    shape = (2, HEADS, 128, HEAD_SIZE)
    return [torch.randn(shape), torch.randn(shape), torch.randn(shape)]


def get_init_inputs():
    return []
'''

CONVOLUTION = '''
import torch
import torch.nn.functional as F
from torch import nn


class ConvRelu(nn.Module):
    """A convolution: a template on channels-last images."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(32, 64, kernel_size=3, padding=1)

    def forward(self, image):
        return F.relu(self.conv(image))


def get_inputs():
    return [torch.randn(2, 32, 28, 28)]


def get_init_inputs():
    return []
'''

OPTIMISER = '''
import torch
from torch import nn


class MomentumStep(nn.Module):
    """Several tensors in one kernel: foreach, updated in place."""

    def __init__(self, rate, momentum):
        super().__init__()
        self.rate = rate
        self.momentum = momentum

    def forward(self, weight, grad, velocity):
        velocity.mul_(self.momentum).add_(grad)
        weight.sub_(self.rate * velocity)
        return weight


def get_inputs():
    return [torch.randn(640, 96), torch.randn(640, 96), torch.randn(640, 96)]


def get_init_inputs():
    return [0.1, 0.9]
'''

TRAINING = '''
import torch
from torch import nn


class GatedUnit(nn.Module):
    """With gradients: an autograd function."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(256))

    def forward(self, x, gate):
        return x * torch.sigmoid(gate) * self.gain


def get_inputs():
    x = torch.randn(64, 256, requires_grad=True)
    return [x, torch.randn(64, 256, requires_grad=True)]


def get_init_inputs():
    return []
'''

FOREACH = '''
import torch
from torch import nn


class TwoActivations(nn.Module):
    """Two tensors that have nothing to do with each other share one launch."""

    def forward(self, queries, keys):
        return torch.relu(queries) * 0.5, torch.sigmoid(keys)


def get_inputs():
    return [torch.randn(70, 48), torch.randn(1000)]


def get_init_inputs():
    return []
'''

PROGRAMS = {
    "bias_gelu": ("BiasGelu", BIAS_GELU, "pointwise"),
    "softmax": ("Softmax", SOFTMAX, "persistent_reduction"),
    "rms_norm": ("RMSNorm", RMS_NORM, "reduction"),
    "running_mean": ("RunningMean", CUMULATIVE, "scan"),
    "sort": ("TrimmedRange", SORT, "sort"),
    "linear_silu": ("LinearSilu", LINEAR, "template"),
    "causal_attention": ("CausalAttention", ATTENTION, "template"),
    "conv_relu": ("ConvRelu", CONVOLUTION, "template"),
    "momentum_step": ("MomentumStep", OPTIMISER, "pointwise"),
    "gated_unit_training": ("GatedUnit", TRAINING, "pointwise"),
    "two_activations_combo": ("TwoActivations", FOREACH, "foreach"),
}
"""Entry point, program and the kind of one of its kernels, by the name of the golden file."""
