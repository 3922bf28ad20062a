from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import click
import pytest

from builder.capture.targets import TARGETS
from builder.cli import doctor
from builder.cli.doctor import Probe, compilers, packages, probe, triton_for

ROOT = Path(doctor.__file__).parents[2]
TOKEN = "hf_" + "Secret" * 5


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "builder", "doctor", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def report():
    ended = run("--format", "json", HF_TOKEN=TOKEN)
    assert TOKEN not in ended.stdout + ended.stderr
    assert ended.returncode == 0, ended.stdout
    return json.loads(ended.stdout)


def test_every_target_really_compiles_here(report):
    found = {c["name"]: c for c in report["checks"] if c["name"].startswith("target ")}
    assert list(found) == [f"target {name}" for name in TARGETS]
    for check in found.values():
        assert check["ok"], check
        assert "bytes)" in check["found"]


def test_the_report_names_what_is_installed(report):
    found = {check["name"]: check for check in report["checks"]}
    for name in ("torch", "triton", "pyarrow", "datasets", "huggingface_hub"):
        assert found[name]["found"] == importlib.metadata.version(name)
        assert found[name]["ok"]
    assert found["cores"]["found"] == str(len(os.sched_getaffinity(0)))
    assert found["hub token"]["found"] == "present"
    assert report["builds"] is True


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The Python of an environment with what the command line needs, without torch and triton."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in ("click", "rich", "tqdm", "pygments", "markdown_it", "mdurl"):
        found = importlib.util.find_spec(name).origin
        (site / name).symlink_to(Path(found).parent)
    (site / "torch2triton.pth").write_text(f"{ROOT}\n")
    return folder / "bin" / "python"


def in_bare(python, *arguments):
    return subprocess.run(
        [python, "-m", "builder", "doctor", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONNOUSERSITE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_without_torch_and_triton_it_says_what_to_do(bare):
    ended = in_bare(bare, "--format", "json")
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    report = json.loads(ended.stdout)
    found = {check["name"]: check for check in report["checks"]}
    assert report["builds"] is False
    for name, remedy in {
        "torch": "pip install 'torch>=2.11,<2.14'",
        "triton": "pip install 'triton>=3.6,<3.8'",
        "pyarrow": "pip install pyarrow",
        "datasets": "pip install datasets",
    }.items():
        assert (found[name]["found"], found[name]["ok"]) == ("missing", False)
        assert found[name]["remedy"] == remedy
    assert "No module named" in found["target cuda:90"]["found"]
    assert found["hub token"]["found"] == "none"


def test_the_report_for_people_has_every_remedy(bare):
    human, quiet = in_bare(bare), in_bare(bare, "--format", "quiet")
    assert human.returncode == quiet.returncode == 1
    assert "pip install 'triton>=3.6,<3.8'" in human.stdout
    assert "builds cannot run" in human.stderr
    assert "torch: pip install 'torch>=2.11,<2.14'" in quiet.stdout.splitlines()


def installed(monkeypatch, versions, requires=()):
    monkeypatch.setattr(doctor, "installed", versions.get)
    monkeypatch.setattr(doctor, "_requirements", lambda _: list(requires))
    return {check.name: check for check in packages()}


@pytest.mark.parametrize(
    ("torch", "triton", "ok", "remedy"),
    [
        ("2.11.0+cpu", "3.6.0", True, ""),
        ("2.12.1", "3.7.0", True, ""),
        ("2.13.0+cu130", "3.7.1", True, ""),
        ("2.13.0+cpu", None, False, "pip install 'triton>=3.7,<3.8'"),
        ("2.11.0+cpu", None, False, "pip install 'triton>=3.6,<3.7'"),
        ("2.13.0", "3.6.0", False, "pip install 'triton>=3.7,<3.8'"),
        ("2.11.0", "3.7.1", False, "pip install 'triton>=3.6,<3.7'"),
        ("2.13.0", "3.9.0", False, "pip install 'triton>=3.7,<3.8'"),
        (None, None, False, "pip install 'triton>=3.6,<3.8'"),
    ],
)
def test_whether_triton_belongs_to_torch(monkeypatch, torch, triton, ok, remedy):
    found = installed(monkeypatch, {"torch": torch, "triton": triton})
    assert (found["triton"].ok, found["triton"].remedy) == (ok, remedy)


@pytest.mark.parametrize("torch", ["2.10.0", "2.14.0", "3.0", "nonsense", ""])
def test_a_torch_out_of_range_is_told(monkeypatch, torch):
    check = installed(monkeypatch, {"torch": torch, "triton": "3.7.1"})["torch"]
    assert (check.ok, check.remedy) == (False, "pip install 'torch>=2.11,<2.14'")


def test_what_torchs_own_metadata_asks_for_comes_first(monkeypatch):
    asked = ["filelock", 'triton==3.6.5; platform_system == "Linux"']
    monkeypatch.setattr(doctor, "_requirements", lambda _: asked)
    assert triton_for("2.13.0") == "3.6"
    monkeypatch.setattr(doctor, "_requirements", lambda _: ["filelock"])
    assert triton_for("2.13.0") == "3.7"
    assert triton_for(None) is None


def probing(monkeypatch, program, deadline=60.0):
    """What ``probe`` finds with another program in the probe's place."""
    real = subprocess.run

    def replaced(_, **options):
        return real([sys.executable, "-c", program], **options)

    monkeypatch.setattr(doctor.subprocess, "run", replaced)
    monkeypatch.setattr(doctor, "_PROBE_DEADLINE_S", deadline)
    return {check.name: check for check in compilers(probe())}


SAID = (
    "import os, sys, time\n"
    'print(\'{"targets": ["cuda:80", "cuda:90"]}\', flush=True)\n'
    'print(\'{"target": "cuda:80", "bytes": 5}\', flush=True)\n'
)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.kill(os.getpid(), 11)", "the compiler died of signal 11"),
        ("sys.exit(3)", "status 3"),
        ("raise OSError('no ptxas')", "OSError: no ptxas"),
        ("time.sleep(60)", "no answer within 1 s"),
    ],
)
def test_a_compiler_that_dies_or_hangs_is_told(monkeypatch, end, said):
    found = probing(monkeypatch, SAID + end, deadline=1.0 if "sleep" in end else 60.0)
    assert found["target cuda:80"].ok
    broken = found["target cuda:90"]
    assert (broken.ok, broken.required, broken.found) == (False, True, said)
    assert broken.remedy


def test_a_torch_that_cannot_be_imported_fails():
    facts = ({"targets": ["cuda:90"]}, {"torch_error": "ImportError: libcudart"})
    found = {check.name: check for check in compilers(Probe(facts))}
    assert (found["torch import"].ok, found["torch import"].required) == (False, True)


def test_gpus_are_named_where_there_are_some():
    found = {check.name: check for check in compilers(Probe(({"gpus": ["H100", "H100"]},)))}
    assert found["gpu"].found == "H100, H100"


def test_little_memory_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "memory_bytes", lambda: 1 << 30)
    check = {check.name: check for check in doctor.machine()}["memory"]
    assert (check.found, check.ok, check.required) == ("1.0 GiB", False, False)
    assert "--workers 1" in check.remedy


def test_a_target_that_fails_beside_the_default_stops_no_build(monkeypatch):
    facts = (
        {"targets": ["cuda:90", "hip:gfx942"]},
        {"target": "cuda:90", "bytes": 1},
        {"target": "hip:gfx942", "error": "no lld"},
    )
    monkeypatch.setattr(doctor, "probe", lambda: Probe(facts))
    with pytest.raises(SystemExit) as ended:
        doctor.command.main([], standalone_mode=False)
    assert ended.value.code == 0
    assert isinstance(doctor.command, click.Command)
