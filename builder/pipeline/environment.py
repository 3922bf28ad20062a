"""The environment of worker processes: an allow-list, private folders, one thread, no tokens."""

from __future__ import annotations

import os
import platform
import site
from pathlib import Path
from typing import TYPE_CHECKING

import builder

LOG_NAME = "server.log"
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ALLOWED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_FIXED = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "MKL_CBWR": "AVX2",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    # A server must have one thread when it forks: no pool of compilers.
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    "TQDM_DISABLE": "1",
    "USER": "worker",
}
_FOLDERS = {
    "HOME": "home",
    "TMPDIR": "tmp",
    "TORCHINDUCTOR_CACHE_DIR": "cache/inductor",
    "TRITON_CACHE_DIR": "cache/triton",
    "TRITON_HOME": "home",
}


def make_private_folders(root: Path) -> dict[str, str]:
    """Create home, temporary folder and caches below ``root``; the variables that name them."""
    variables = {}
    for variable, name in _FOLDERS.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        variables[variable] = str(folder)
    return variables


def worker_environment(
    root: Path, extra_paths: Iterable[str] = (), overrides: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment of one server, which its step processes inherit.

    Args:
        root: the worker's private folder.
        extra_paths: folders put first on Python's path.
        overrides: variables that replace those chosen here.
    """
    kept = {name: os.environ[name] for name in _ALLOWED if name in os.environ}
    kept.setdefault("LANG", "C.UTF-8")
    if platform.machine() in {"x86_64", "AMD64"}:
        kept["ATEN_CPU_CAPABILITY"] = "avx2"
    kept |= _FIXED | make_private_folders(root)
    # A private home must not hide packages that pip installed for the user alone.
    kept["PYTHONUSERBASE"] = site.getuserbase()
    kept["PYTHONPATH"] = os.pathsep.join(_python_path(extra_paths))
    return kept | dict(overrides or {})


def _python_path(extra_paths: Iterable[str]) -> list[str]:
    package_parent = str(Path(builder.__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(Path(path).resolve()) for path in (*extra_paths, package_parent) if path]
    return [*paths, *(str(Path(path).resolve()) for path in inherited if path)]
