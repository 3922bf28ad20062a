"""Faults planted into the Triton text of a pair, and how exact what is left of it is."""
