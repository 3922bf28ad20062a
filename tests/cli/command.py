"""Runs the command as a user does: in a process of its own."""

import os
import subprocess
import sys


def torch2triton(*arguments, timeout=300, **environment):
    return subprocess.run(
        [sys.executable, "-m", "builder", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=os.environ | environment,
    )
