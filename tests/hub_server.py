"""A server on this machine with the part of the Hub's interface that files need: repositories, commits, downloads."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class HubServer:
    """Repositories in memory: each has commits, each commit all files by path."""

    def __init__(self):
        self.repositories = {}
        self.branches = {}
        self.tokens = set()
        self.refuses_commits = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hub.tokens.add(self.headers.get("Authorization"))
                self.answer(*hub.post(unquote(urlsplit(self.path).path), body))

            def do_GET(self):
                self.answer(*hub.get(unquote(urlsplit(self.path).path)))

            def do_HEAD(self):
                self.do_GET()

            def answer(self, status, body=b"", headers=None):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": len(data), **(headers or {})}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def files(self, repo, revision="main"):
        commit = self.branches[repo].get(revision, revision)
        return self.repositories[repo][commit]

    def post(self, path, body):
        if path == "/api/repos/create":
            fields = json.loads(body)
            repo = f"{fields['organization']}/{fields['name']}" if fields.get("organization") else fields["name"]
            if repo in self.repositories:
                return 409, {"error": "exists", "url": f"{self.endpoint}/{repo}"}
            first = "0" * 40
            self.repositories[repo], self.branches[repo] = {first: {}}, {"main": first}
            return 200, {"url": f"{self.endpoint}/{repo}", "name": repo}
        if path == "/api/validate-yaml":
            return 200, {}
        repo, action, revision = self.divide(path)
        if repo not in self.repositories:
            return 404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"}
        if action == "branch":
            self.branches[repo].setdefault(revision, self.branches[repo]["main"])
            return 200, {}
        if action == "preupload":
            files = [f["path"] for f in json.loads(body)["files"]]
            return 200, {"files": [{"path": f, "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        if self.refuses_commits:
            return 403, {"error": "this repository is closed"}
        return self.commit(repo, revision, [json.loads(line) for line in body.splitlines()])

    def commit(self, repo, revision, lines):
        files = dict(self.files(repo, revision))
        for line in lines:
            value = line["value"]
            if line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
        oid = f"{len(self.repositories[repo]):040x}"
        self.repositories[repo][oid] = files
        self.branches[repo][revision] = oid
        return 200, {"success": True, "commitOid": oid, "commitUrl": f"{self.endpoint}/{repo}/commit/{oid}"}

    def get(self, path):
        if "/resolve/" in path:
            repo, _, rest = path[1:].partition("/resolve/")
            revision, _, name = rest.partition("/")
            commit = self.branches[repo].get(revision, revision)
            data = self.repositories[repo][commit].get(name)
            if data is None:
                return 404, {}, {"X-Error-Code": "EntryNotFound"}
            return 200, data, {"ETag": f'"{git_oid(data)}"', "X-Repo-Commit": commit}
        repo, action, revision = self.divide(path)
        if repo not in self.repositories:
            return 404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"}
        commit = self.branches[repo].get(revision, revision)
        if commit not in self.repositories[repo]:
            return 404, {"error": "not found"}, {"X-Error-Code": "RevisionNotFound"}
        entries = [
            {"type": "file", "path": name, "size": len(data), "oid": git_oid(data)}
            for name, data in self.repositories[repo][commit].items()
        ]
        if action == "tree":
            return 200, entries
        return 200, {"id": repo, "sha": commit, "siblings": [{"rfilename": entry["path"]} for entry in entries]}

    @staticmethod
    def divide(path):
        owner, name, *rest = path.removeprefix("/api/models/").split("/")
        action, revision, *_ = [*rest, "info", "main"] if len(rest) < 2 else rest
        return f"{owner}/{name}", action, revision


def git_oid(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
