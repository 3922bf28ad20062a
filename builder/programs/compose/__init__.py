"""Random graphs of operators, built on small tensors and written as people write."""
