"""Faults planted into the Triton text of a pair, and proofs that some of them are none."""
