"""``push`` with the real client against a server that speaks the Hub's protocol.

What a user sees runs as the command in a process of its own; the many ways to fail run in this
process, with the client's settings put in place of its environment variables.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import traceback

import huggingface_hub
import pytest

from builder.dataset.push import push as push_here
from builder.errors import Interrupted, OperationFailed, UsageError
from tests.dataset.hub_server import TOKEN, Hub, Refused
from tests.dataset.samples import dataset, row

REPO = "someone/pairs"

# The client's own habit, when it sends a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def folder(tmp_path):
    dataset(tmp_path / "set", pairs=3, rejected=2)
    return tmp_path / "set"


def environment(home, url, token=TOKEN, **more):
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    hub = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    own = {"HF_TOKEN": token} if token else {}
    return {**kept, **hub, **own, "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1", **more}


def push(folder, url, *options, token=TOKEN, repo=REPO, **more):
    """Runs the command; whatever it does, the token must not be in what it says."""
    ended = subprocess.run(
        [sys.executable, "-m", "builder", "push", str(folder), repo, *options],
        env=environment(folder.parent / "home", url, token, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert TOKEN not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


@pytest.fixture
def refused(monkeypatch, tmp_path):
    """Pushes in this process; returns the one line of the failure, which has no token in it."""

    def run(folder, url, repo=REPO, kind=OperationFailed, token=TOKEN):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(kind) as caught:
            push_here(folder, repo)
        message = str(caught.value)
        assert "\n" not in message
        assert token not in "".join(traceback.format_exception(caught.value))
        return message

    return run


def assert_one_line(ended, *said):
    assert ended.returncode == 1
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("error: ")
    for words in said:
        assert words in lines[0]


LOADER = """
import json, sys
import datasets
datasets.disable_progress_bars()
train = datasets.load_dataset(sys.argv[1], split="train")
rejections = datasets.load_dataset(sys.argv[1], "rejections", split="train")
json.dump({"train": list(train), "rejections": list(rejections)}, sys.stdout)
"""


def load(url, home):
    ended = subprocess.run(
        [sys.executable, "-c", LOADER, REPO],
        env=environment(home, url),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_what_is_pushed_loads_again_row_by_row(folder, tmp_path):
    with Hub() as hub:
        ended = push(folder, hub.url, "--private", "--format", "json")
        assert ended.returncode == 0, ended.stderr
        loaded = load(hub.url, tmp_path / "fresh")
        repo = hub.repos[REPO]
    assert loaded["train"] == [row(index) for index in range(3)]
    assert [rejected["seed"] for rejected in loaded["rejections"]] == [3, 4]
    assert repo.private
    assert [commit.message for commit in repo.commits] == ["initial commit", "Upload 3 pairs"]
    assert json.loads(ended.stdout) == {
        "repo": REPO,
        "url": f"{hub.url}/datasets/{REPO}",
        "commit": repo.head.oid,
        "pairs": 3,
        "created": True,
    }
    assert sorted(repo.head.files) == [
        ".gitattributes",
        "README.md",
        "data/train-00000-of-00001.parquet",
        "rejections/rejections-00000-of-00001.parquet",
    ]


def test_the_saved_login_is_used(folder):
    (folder.parent / "home").mkdir()
    (folder.parent / "home" / "token").write_text(TOKEN + "\n")
    with Hub() as hub:
        ended = push(folder, hub.url, token=None)
        assert ended.returncode == 0, ended.stderr
        assert not hub.repos[REPO].private


def test_an_existing_repository_gets_one_commit_and_loses_stale_shards(folder):
    stale = {
        "data/train-00000-of-00002.parquet": b"old",
        "data/train-00001-of-00002.parquet": b"old",
        "LICENSE": b"kept",
    }
    with Hub() as hub:
        hub.add_repo(REPO, files=stale)
        ended = push(folder, hub.url, "--format", "quiet")
        assert ended.returncode == 0, ended.stderr
        assert len(hub.repos[REPO].commits) == 2
        files = hub.repos[REPO].head.files
    assert ended.stdout == f"{hub.url}/datasets/{REPO}\n"
    assert [name for name in files if name.startswith("data/")] == [
        "data/train-00000-of-00001.parquet"
    ]
    assert files["LICENSE"] == b"kept"


def test_a_token_that_may_write_but_not_create_is_enough(folder):
    with Hub({"create": Refused(403, "no right to create")}) as hub:
        hub.add_repo(REPO)
        assert push(folder, hub.url).returncode == 0
        assert len(hub.repos[REPO].commits) == 2


def test_private_data_does_not_go_to_a_public_repository(folder):
    with Hub() as hub:
        hub.add_repo(REPO, private=False)
        assert_one_line(push(folder, hub.url, "--private"), "is public", "--private")
        assert len(hub.repos[REPO].commits) == 1


def test_without_a_token_nothing_is_asked_of_the_hub(folder):
    with Hub() as hub:
        assert_one_line(push(folder, hub.url, token=None), "no token", "HF_TOKEN", "hf auth login")
        assert "POST /api/repos/create" not in hub.requests


@pytest.mark.parametrize("token", ["hf_wrong", "hf_with space", "hf_ünïcode", "hf_new\nline"])
def test_a_wrong_token_is_told_and_not_shown(folder, refused, token):
    with Hub() as hub:
        message = refused(folder, hub.url, token=token)
        assert "https://huggingface.co/settings/tokens" in message
        assert hub.repos == {}


@pytest.mark.parametrize(
    "repo", ["pairs", "a/b/c", "", "/", "someone/", "/pairs", "some one/pairs", "a/b..c", "a/-b"]
)
def test_a_name_that_is_none_is_told(folder, refused, repo):
    with Hub() as hub:
        assert "give OWNER/NAME" in refused(folder, hub.url, repo=repo)
        assert hub.requests == []


def test_a_wrong_name_has_exit_status_1(folder):
    assert_one_line(push(folder, "http://127.0.0.1:9", repo="pairs"), "give OWNER/NAME")


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (Refused(400, "Invalid username or name"), "Invalid username or name"),
        (Refused(403, "You don't have the rights"), "write access to someone"),
        (Refused(401, "Invalid credentials in Authorization header"), "does not accept the token"),
        (Refused(503, "maintenance"), "try again later"),
        (Refused(404, "no such owner"), "check OWNER"),
    ],
)
def test_what_the_hub_refuses_is_told(folder, refused, refusal, said):
    with Hub({"create": refusal}) as hub:
        assert said in refused(folder, hub.url)
        assert hub.repos == {}


def test_a_refused_name_has_exit_status_1(folder):
    with Hub({"create": Refused(400, "Invalid username or name")}) as hub:
        assert_one_line(push(folder, hub.url), "Invalid username or name", "choose another name")


@pytest.mark.parametrize("where", ["tree", "preupload", "batch", "put", "commit"])
def test_a_repository_made_by_a_push_that_fails_is_deleted_again(folder, refused, where):
    with Hub({where: Refused(403, "storage is full")}) as hub:
        assert "write access to someone" in refused(folder, hub.url)
        assert hub.repos == {}
        assert "DELETE /api/repos/delete" in hub.requests


def test_a_push_that_fails_midway_has_exit_status_1_and_leaves_nothing(folder):
    with Hub({"commit": Refused(403, "storage is full")}) as hub:
        assert_one_line(push(folder, hub.url), "storage is full")
        assert hub.repos == {}


def test_ctrl_c_during_the_upload_leaves_nothing(folder, refused, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", interrupted)
    with Hub() as hub:
        assert "nothing was uploaded" in refused(folder, hub.url, kind=Interrupted)
        assert hub.repos == {}


@pytest.mark.parametrize("where", ["preupload", "put", "commit"])
def test_a_repository_that_was_there_before_is_never_deleted(folder, refused, where):
    with Hub({where: Refused(403, "storage is full")}) as hub:
        hub.add_repo(REPO, files={"LICENSE": b"kept"})
        refused(folder, hub.url)
        assert [commit.message for commit in hub.repos[REPO].commits] == ["initial commit"]
        assert "DELETE /api/repos/delete" not in hub.requests


def test_a_repository_that_cannot_be_deleted_again_is_named(folder, refused):
    failures = {"commit": Refused(400, "too large"), "delete": Refused(403, "no right")}
    with Hub(failures) as hub:
        message = refused(folder, hub.url)
        assert "too large" in message
        assert f"{REPO} remains, delete it" in message


@pytest.mark.parametrize("where", ["create", "preupload", "commit"])
def test_an_answer_that_is_no_hubs_is_told(folder, refused, where):
    with Hub({where: Refused(200, "a login page")}) as hub:
        assert "failed" in refused(folder, hub.url)
        assert hub.repos == {}


def test_no_network_ends_soon(folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        started = time.monotonic()
        assert_one_line(push(folder, url), f"no connection to {url}", "check the network")
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("url", ["http://hub.invalid", "hub.invalid", "ftp://hub.invalid"])
def test_a_host_that_does_not_exist_is_told(folder, refused, url):
    assert f"no connection to {url}" in refused(folder, url)


def test_offline_mode_is_told(folder):
    ended = push(folder, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert_one_line(ended, "unset HF_HUB_OFFLINE")


def test_the_debug_traceback_does_not_show_the_token(folder):
    with Hub({"commit": Refused(400, f"you sent {TOKEN}")}) as hub:
        ended = push(folder, hub.url, TORCH2TRITON_DEBUG="1")
        assert "you sent <token>" in ended.stderr


@pytest.mark.parametrize("what", ["missing", "empty", "file", "no card", "no pairs", "damaged"])
def test_a_folder_that_is_no_finished_data_set_is_refused_first(folder, tmp_path, refused, what):
    shard = folder / "data" / "train-00000-of-00001.parquet"
    if what == "no card":
        (folder / "README.md").unlink()
    elif what == "damaged":
        shard.write_bytes(b"PAR1")
    elif what == "no pairs":
        folder = tmp_path / "none"
        dataset(folder, pairs=0, rejected=1)
    elif what == "empty":
        folder = tmp_path / "empty"
        folder.mkdir()
    else:
        folder = shard if what == "file" else tmp_path / "nowhere"
    with Hub() as hub:
        assert refused(folder, hub.url, kind=UsageError)
        assert hub.requests == []
