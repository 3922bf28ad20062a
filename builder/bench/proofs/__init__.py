"""Proofs that a changed Triton text computes what the unchanged one does.

Both are run on symbols (``machine``).  What operations make of them is in ``ops`` and ``axes``;
each law by which two expressions are one is a module of its own.
"""
