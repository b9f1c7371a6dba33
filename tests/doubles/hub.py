"""A model hub on the loopback interface: a repository at a commit, the requests of a client, and all refusals."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c0ffee" * 6 + "c0de"


class HubDouble:
    """One repository, ``org/model``. As on a real hub, it reports the sha256 of weights; the other files are in git.

    cut: break the connection after that many bytes of a file, ``cuts`` times.
    replaced_bytes: the bytes that are sent instead of those of a file.
    refusal: (status, X-Error-Code) for every request, such as for a missing repository.
    refusal_of_files: the same for files alone: a gate with a public list.
    requests: (path, Range header) of every requested file.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(files)
        self.commit = COMMIT
        self.replaced_bytes: dict[str, bytes] = {}
        self.cut: int | None = None
        self.cuts = 10**6
        self.ranges = True
        self.refusal: tuple[int, str] | None = None
        self.refusal_of_files: tuple[int, str] | None = None
        self.requests: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        double = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                double.answer(self)

            def do_HEAD(self) -> None:
                double.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the class above
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = unquote(urlsplit(request.path).path)
        self.tokens.add(request.headers.get("Authorization", ""))
        if self.refusal is not None:
            self._refuse(request, *self.refusal)
        elif path.startswith("/api/models/org/model/revision/"):
            self._send_index(request, path.rpartition("/")[2])
        elif path.startswith(f"/org/model/resolve/{self.commit}/"):
            self._send_file(request, path.removeprefix(f"/org/model/resolve/{self.commit}/"))
        else:
            self._refuse(request, 404, "RepoNotFound")

    def _refuse(self, request: BaseHTTPRequestHandler, status: int, code: str) -> None:
        request.send_response(status)
        if code:
            request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _send_index(self, request: BaseHTTPRequestHandler, revision: str) -> None:
        if revision not in ("main", self.commit):
            self._refuse(request, 404, "RevisionNotFound")
            return
        rows = []
        for name, data in self.files.items():
            row: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": hashlib.sha256(data).hexdigest()[:40]}
            if name.endswith((".safetensors", ".bin")):
                row["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            rows.append(row)
        body = json.dumps({"id": "org/model", "sha": self.commit, "siblings": rows}).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _send_file(self, request: BaseHTTPRequestHandler, name: str) -> None:
        range_header = request.headers.get("Range", "")
        self.requests.append((name, range_header))
        if self.refusal_of_files is not None:
            self._refuse(request, *self.refusal_of_files)
            return
        data = self.replaced_bytes.get(name, self.files.get(name))
        if data is None:
            self._refuse(request, 404, "EntryNotFound")
            return
        start = int(range_header.removeprefix("bytes=").removesuffix("-")) if range_header and self.ranges else 0
        if start >= len(data) and start:
            self._refuse(request, 416, "")
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        end = len(data)
        if self.cut is not None and self.cuts and len(data) - start > self.cut:
            end, self.cuts = start + self.cut, self.cuts - 1
        request.wfile.write(data[start:end])


@contextmanager
def hub_double(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    """Yield a running hub that huggingface_hub uses, without a token."""
    hub = HubDouble(files)
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    # as an import with HF_ENDPOINT sets it
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    try:
        yield hub
    finally:
        hub.server.shutdown()
        thread.join()
        hub.server.server_close()
