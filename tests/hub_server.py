"""A Hub of one's own, on this machine: the part of its protocol that pushing and loading take.

Repositories are lists of commits, each with all files. A `.safetensors` goes to the large files'
storage, from which it is fetched after a redirection; other files are in the commit itself.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN, USER = "hf_ada", "ada"


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str = "", message: str = "", **more: str) -> None:
        self.status, self.code, self.message, self.more = status, code, message, more


class Commit:
    """All files of a repository at a commit, and what was said of it."""

    def __init__(self, files: dict[str, bytes], message: str, before: str) -> None:
        content = json.dumps([before, message, *(f"{k} {_sha(v)}" for k, v in files.items())])
        self.files, self.message = files, message
        self.oid = hashlib.sha1(content.encode()).hexdigest()


class Hub:
    """What the server holds, and what it was asked."""

    def __init__(self, address: str) -> None:
        self.address, self.user = address, USER
        self.asked: list[str] = []
        self.repos: dict[str, list[Commit]] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.branches: dict[tuple[str, str], str] = {}
        self.large: dict[str, bytes] = {}
        self.agents: set[str] = set()
        self.claimed: dict[str, str] = {}  # header lines in place of the true ones
        self.status = 0  # to answer with, whatever is asked

    def put(self, repo: str, files: dict[str, bytes], message: str = "by hand") -> str:
        """Add a commit, over the files of the one before; return it."""
        self.large |= {_sha(data): data for data in files.values()}
        commits = self.repos.setdefault(repo, [])
        last = commits[-1] if commits else Commit({}, "", "")
        commits.append(Commit({**last.files, **files}, message, last.oid))
        return commits[-1].oid

    def at(self, repo: str, revision: str) -> Commit:
        """Return the commit that a revision stands for."""
        commits = self.repos[repo]
        revision = self.branches.get((repo, revision), revision)
        for commit in reversed(commits):
            if revision in ("main", commit.oid):
                return commit
        raise RefusedError(404, "RevisionNotFound")


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _blob(data: bytes) -> str:
    """What Git calls a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    """The routes, each a method whose comment has what it answers."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        self.hub.agents.add(self.headers["User-Agent"] or "")
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        path = unquote(urlsplit(self.path).path)
        try:
            if self.hub.status:
                raise RefusedError(self.hub.status, message="out of order")
            for pattern, route in ROUTES:
                if match := re.fullmatch(pattern, f"{self.command} {path}"):
                    route(self, body, *match.groups())
                    return
            raise RefusedError(404)
        except RefusedError as refused:
            self._send(
                refused.status,
                json.dumps({"error": refused.message, **refused.more}).encode(),
                **{"X-Error-Code": refused.code, "X-Error-Message": refused.message},
            )

    do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815

    def _send(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    @property
    def _storage(self) -> str:
        """The address of large files, which is another machine's on the real Hub."""
        return self.hub.address.replace("127.0.0.1", "localhost") + "/storage"

    @property
    def _user(self) -> str | None:
        given = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if given and given != TOKEN:
            raise RefusedError(401, message="Invalid credentials in Authorization header")
        return USER if given else None

    def _may_read(self, repo: str) -> None:
        user = self._user
        # Whoever has no token is not told whether there is a repository.
        if repo not in self.hub.repos or (repo in self.hub.private and user is None):
            raise RefusedError(404, "RepoNotFound") if user else RefusedError(401)
        if repo in self.hub.gated:
            raise RefusedError(403, "GatedRepo")

    def _may_write(self, repo: str) -> None:
        if self._user is None:
            raise RefusedError(401, message="Invalid username or password.")
        if not repo.startswith(f"{USER}/"):
            message = f'You don\'t have the rights to create a model under "{repo.split("/")[0]}"'
            raise RefusedError(403, message=message)

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        self._may_write(repo)
        if repo in self.hub.repos:
            url = f"{self.hub.address}/{repo}"
            raise RefusedError(409, message="You already created this model repo", url=url)
        self.hub.repos[repo] = []
        # By the library's version.
        if asked.get("private") or asked.get("visibility") == "private":
            self.hub.private.add(repo)
        self._json({"url": f"{self.hub.address}/{repo}", "name": repo, "id": repo})

    def validate(self, body: bytes) -> None:
        lines = json.loads(body)["content"].splitlines()
        if lines[0] != "---" or "---" not in lines[1:]:
            raise RefusedError(400, message="no header")
        self._json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, repo: str) -> None:
        self._may_write(repo)
        commits, modes = self.hub.repos[repo], []
        last = commits[-1].files if commits else {}
        for file in json.loads(body)["files"]:
            is_large, path = file["path"].endswith(".safetensors"), file["path"]
            digest = (_sha if is_large else _blob)(last[path]) if path in last else None
            mode = "lfs" if is_large else "regular"
            modes.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": digest})
        self._json({"files": modes})

    def batch(self, body: bytes, repo: str) -> None:
        self._may_write(repo)
        objects = []
        for asked in json.loads(body)["objects"]:
            upload = {"href": f"{self._storage}/{asked['oid']}", "header": {}}
            actions = {} if asked["oid"] in self.hub.large else {"actions": {"upload": upload}}
            objects.append({"oid": asked["oid"], "size": asked["size"], **actions})
        self._json({"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        assert _sha(body) == oid
        self.hub.large[oid] = body
        self._send(200)

    def commit(self, body: bytes, repo: str) -> None:
        self._may_write(repo)
        files, message = {}, ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        oid = self.hub.put(repo, files, message)
        url = f"{self.hub.address}/{repo}/commit/{oid}"
        self._json({"success": True, "commitUrl": url, "commitOid": oid, "hookOutput": ""})

    def info(self, body: bytes, repo: str, revision: str | None) -> None:
        self._may_read(repo)
        commits = self.hub.repos[repo]
        sha = self.hub.at(repo, revision or "main").oid if commits else None
        self._json({"id": repo, "sha": sha, "private": repo in self.hub.private, "siblings": []})

    def resolve(self, body: bytes, repo: str, rest: str) -> None:
        self._may_read(repo)
        revisions = ["main", *(name for of, name in self.hub.branches if of == repo)]
        revisions += [commit.oid for commit in self.hub.repos[repo]]
        revision = next((r for r in revisions if rest.startswith(f"{r}/")), rest.split("/")[0])
        commit = self.hub.at(repo, revision)
        head = {"X-Repo-Commit": commit.oid}
        data = commit.files.get(rest.removeprefix(f"{revision}/"))
        if data is None:
            raise RefusedError(404, "EntryNotFound")
        if not rest.endswith(".safetensors"):
            self._send(200, data, **head, ETag=f'"{_blob(data)}"')
            return
        oid = _sha(data)
        head |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data))} | self.hub.claimed
        self._send(302, Location=f"{self._storage}/{oid}", **head)

    def fetch(self, body: bytes, oid: str) -> None:
        self._send(200, self.hub.large[oid], ETag=f'"{oid}"')


ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"POST /api/repos/create", _Handler.create),
    (r"POST /api/validate-yaml", _Handler.validate),
    (r"POST /api/models/(\S+?)/preupload/main", _Handler.preupload),
    (r"POST /(\S+?)\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /storage/(\w+)", _Handler.store),
    (r"POST /api/models/(\S+?)/commit/main", _Handler.commit),
    (r"GET /api/models/([^/]+/[^/]+)(?:/revision/(.+))?", _Handler.info),
    (r"(?:GET|HEAD) /([^/]+/[^/]+)/resolve/(.+)", _Handler.resolve),
    (r"(?:GET|HEAD) /storage/(\w+)", _Handler.fetch),
]


@contextmanager
def served() -> Iterator[tuple[type[_Handler], str]]:
    """Serve a hub, which is put on the handler, until the context ends; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield _Handler, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
