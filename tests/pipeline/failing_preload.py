"""A module that cannot be preloaded."""

raise ImportError("this module needs something that is not there")
