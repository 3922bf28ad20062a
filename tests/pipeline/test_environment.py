"""What workers see of the caller's environment, and what they get instead."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import builder
from builder.pipeline.environment import worker_environment
from tests.pipeline.conftest import job

SECRETS = {
    "HF_TOKEN": "hf_secret",
    "HUGGING_FACE_HUB_TOKEN": "hf_secret",
    "AWS_SECRET_ACCESS_KEY": "aws_secret",
    "SSH_AUTH_SOCK": "/run/agent",
    "PYTHONSTARTUP": "/home/user/start.py",
}


def test_steps_see_no_secrets_and_live_in_a_private_home(run_one, monkeypatch, temporary_root):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    seen = run_one(job("environment")).value["environment"]
    assert not set(SECRETS) & set(seen)
    assert not set(SECRETS.values()) & set(seen.values())
    for name in ("HOME", "TMPDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TRITON_HOME"):
        assert Path(seen[name]).is_relative_to(temporary_root)


def test_steps_run_one_thread_offline_without_a_gpu(run_one):
    seen = run_one(job("environment")).value["environment"]
    expected = {
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_CBWR": "AVX2",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "PATH": os.environ["PATH"],
    }
    assert {name: seen.get(name) for name in expected} == expected


def test_the_instruction_set_can_be_chosen(tmp_path):
    by_default = worker_environment(tmp_path).get("ATEN_CPU_CAPABILITY")
    assert by_default == ("avx2" if platform.machine() == "x86_64" else None)
    chosen = worker_environment(tmp_path, overrides={"ATEN_CPU_CAPABILITY": "default"})
    assert chosen["ATEN_CPU_CAPABILITY"] == "default"


def test_extra_paths_come_first_and_the_package_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'mine'}{os.pathsep}")
    paths = worker_environment(tmp_path, ["/extra"])["PYTHONPATH"].split(os.pathsep)
    package_parent = str(Path(builder.__file__).resolve().parent.parent)
    assert paths == ["/extra", package_parent, str(tmp_path / "mine")]


def test_a_step_finds_its_folders_empty_each_time(workers):
    with workers() as supervisor:
        outcomes = list(supervisor.run([job("leave_file", key=str(i)) for i in range(2)]))
    for outcome in outcomes:
        assert outcome.value["found"] == []
        assert outcome.value["listing"] == []
        assert not Path(outcome.value["cwd"]).exists()


def test_global_generators_and_hashes_are_the_same_in_every_step(workers, temporary_root):
    with workers(2) as supervisor:
        values = [
            outcome.value for outcome in supervisor.run([job("draw", key=str(i)) for i in range(4)])
        ]
    assert len({(value["random"], value["hash"]) for value in values}) == 1
    assert all(Path(value["temporary"]).is_relative_to(temporary_root) for value in values)
    assert all(value["stdin"] == "" and value["session_leader"] for value in values)
