"""A small server on 127.0.0.1 that speaks the Hub's protocol to the real client.

It knows what ``huggingface_hub`` asks for to make a repository, upload a folder (LFS transfer) and
download it again, and what ``datasets.load_dataset`` asks for on top.  Answers can be replaced by
failures, by route.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from typing_extensions import Self

TOKEN = "hf_" + "Secret" * 5


@dataclass
class Commit:
    oid: str
    message: str
    files: dict[str, bytes]


@dataclass
class Repo:
    private: bool
    commits: list[Commit] = field(default_factory=list)

    def commit(self, message: str, files: dict[str, bytes]) -> Commit:
        text = f"{len(self.commits)}{message}{sorted(files)}"
        self.commits.append(Commit(hashlib.sha1(text.encode()).hexdigest(), message, files))
        return self.commits[-1]

    @property
    def head(self) -> Commit:
        return self.commits[-1]


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Hub:
    """The server; a context manager.

    Attributes:
        repos: ``OWNER/NAME`` to repository.
        objects: LFS objects by SHA-256.
        failures: route name to ``Refused`` that answers it instead.
        requests: ``METHOD path`` of each request, in order.
    """

    def __init__(self, failures: dict[str, Refused] | None = None) -> None:
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.failures = failures or {}
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add_repo(self, name: str, *, private: bool = False, files: dict | None = None) -> Repo:
        self.repos[name] = Repo(private)
        self.repos[name].commit("initial commit", {".gitattributes": b"", **(files or {})})
        return self.repos[name]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        return Handler


_ROUTES: list[tuple[str, re.Pattern[str], str]] = [
    (method, re.compile(pattern), name)
    for method, pattern, name in (
        ("POST", r"/api/repos/create", "create"),
        ("DELETE", r"/api/repos/delete", "delete"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/preupload/(?P<rev>[^/]+)", "preupload"),
        ("POST", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/commit/(?P<rev>[^/]+)", "commit"),
        ("POST", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/paths-info/(?P<rev>[^/]+)", "paths"),
        ("GET", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/tree/(?P<rev>[^/]+)(?P<path>.*)", "tree"),
        ("GET", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/revision/(?P<rev>[^/]+)", "info"),
        ("GET", r"/api/datasets/(?P<repo>[^/]+/[^/]+)", "info"),
        ("POST", r"/datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", "put"),
        ("HEAD", r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "file"),
        ("GET", r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "file"),
    )
]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.split = urlsplit(self.path)
        self.hub.requests.append(f"{self.command} {self.split.path}")
        try:
            self._dispatch()
        except Refused as error:
            headers = {"X-Error-Message": error.message, "X-Error-Code": error.code}
            self._send(error.status, json.dumps({"error": error.message}).encode(), headers)

    def _dispatch(self) -> None:
        for method, pattern, name in _ROUTES:
            match = pattern.fullmatch(unquote(self.split.path))
            if match and method == self.command:
                if name in self.hub.failures:
                    raise self.hub.failures[name]
                getattr(self, f"_{name}")(**match.groupdict())
                return
        raise Refused(404, "no such page")

    def _send(self, status: int, body: bytes = b"", headers: dict | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _check_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "Invalid credentials in Authorization header")

    def _repo(self, name: str) -> Repo:
        if name not in self.hub.repos:
            raise Refused(404, "Repository not found", "RepoNotFound")
        if self.hub.repos[name].private:
            self._check_token()
        return self.hub.repos[name]

    def _create(self) -> None:
        self._check_token()
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        url = f"{self.hub.url}/datasets/{name}"
        if name in self.hub.repos:
            self._json({"error": "You already created this dataset repo", "url": url}, 409)
            return
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.add_repo(name, private=private)
        self._json({"url": url, "name": name, "id": name})

    def _delete(self) -> None:
        self._check_token()
        asked = json.loads(self.body)
        self._repo(f"{asked['organization']}/{asked['name']}")
        del self.hub.repos[f"{asked['organization']}/{asked['name']}"]
        self._json({})

    def _validate(self) -> None:
        self._json({"errors": [], "warnings": []})

    def _preupload(self, repo: str, rev: str) -> None:
        self._check_token()
        self._repo(repo)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".parquet") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self._json({"files": files})

    def _batch(self, repo: str) -> None:
        self._check_token()
        objects = [
            {
                "oid": item["oid"],
                "size": item["size"],
                "actions": {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}},
            }
            for item in json.loads(self.body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refused(400, "the content is another")
        self.hub.objects[oid] = self.body
        self._send(200)

    def _commit(self, repo: str, rev: str) -> None:
        self._check_token()
        lines = [json.loads(line) for line in self.body.splitlines()]
        files = dict(self._repo(repo).head.files)
        message = ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commit = self._repo(repo).commit(message, files)
        url = f"{self.hub.url}/datasets/{repo}/commit/{commit.oid}"
        self._json({"success": True, "commitOid": commit.oid, "commitUrl": url})

    def _info(self, repo: str, rev: str = "main") -> None:
        found = self._repo(repo)
        self._json(
            {
                "id": repo,
                "author": repo.partition("/")[0],
                "sha": found.head.oid,
                "private": found.private,
                "disabled": False,
                "gated": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": [{"rfilename": path} for path in sorted(found.head.files)],
            }
        )

    def _entry(self, path: str, content: bytes) -> dict:
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"type": "file", "oid": oid, "size": len(content), "path": path}
        if path.endswith(".parquet"):
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
        return entry

    def _tree(self, repo: str, rev: str, path: str) -> None:
        files = self._repo(repo).head.files
        folder = f"{path.strip('/')}/" if path.strip("/") else ""
        recursive = parse_qs(self.split.query).get("recursive", ["false"])[0].lower() == "true"
        folders = {
            "/".join(parts[:depth])
            for parts in (name.split("/") for name in files)
            for depth in range(1, len(parts))
        }
        entries = [self._entry(name, content) for name, content in sorted(files.items())]
        entries += [
            {"type": "directory", "oid": "0" * 40, "size": 0, "path": name}
            for name in sorted(folders)
        ]
        inside = [e for e in entries if e["path"].startswith(folder)]
        if folder and not inside:
            raise Refused(404, "no such entry", "EntryNotFound")
        if not recursive:
            inside = [e for e in inside if "/" not in e["path"].removeprefix(folder)]
        self._json(inside)

    def _paths(self, repo: str, rev: str) -> None:
        files = self._repo(repo).head.files
        if "json" in (self.headers.get("Content-Type") or ""):
            asked = json.loads(self.body)["paths"]
        else:
            asked = parse_qs(self.body.decode()).get("paths", [])
        self._json([self._entry(path, files[path]) for path in asked if path in files])

    def _file(self, repo: str, rev: str, path: str) -> None:
        found = self._repo(repo)
        if path not in found.head.files:
            raise Refused(404, "no such entry", "EntryNotFound")
        content = found.head.files[path]
        headers = {
            "X-Repo-Commit": found.head.oid,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            self._send(200, content, headers)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._send(206, content[first : last + 1], headers)
