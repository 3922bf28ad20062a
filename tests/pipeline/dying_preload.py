"""A module that takes its process down when it is imported."""

import os

os.write(2, b"dying of it\n")
os._exit(9)
