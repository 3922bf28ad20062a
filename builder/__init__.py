"""torch2triton: verified pairs of PyTorch programs and standalone Triton modules."""

__version__ = "0.1.0"
