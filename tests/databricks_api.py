"""What a Databricks workspace answers: its jobs, files, notebooks and users, one method for each address."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from .http_server import FaultyHandler

if TYPE_CHECKING:
    from .databricks_server import Workspace


class Api(FaultyHandler):
    """Find the method by what is asked for: `GET /api/2.2/jobs/runs/get` is _get_jobs_runs_get."""

    protocol_version = "HTTP/1.1"
    server: Workspace

    def called(self) -> str:
        return unquote(urlsplit(self.path).path)

    def obey(self, body: bytes) -> tuple[Any, ...]:
        path, asked = self.called(), {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        if path == "/.well-known/databricks-config":
            return 200, {"workspace_id": "1", "oidc_endpoint": f"{self.server.address}/oidc"}
        if not path.startswith("/api/"):
            return 404, {"message": "no such page"}
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return 403, {"error_code": "PERMISSION_DENIED", "message": "Invalid access token."}
        _, _, name = path.removeprefix("/api/").partition("/")
        parts = name.split("/")
        names = ("_" + "_".join([self.command.lower(), *parts[:length]]).replace("-", "_") for length in (3, 2))
        method = next((getattr(self, each) for each in names if hasattr(self, each)), None)
        if method is None:
            return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": f"no {self.command} {path}"}
        given = method("/" + "/".join(parts[2:]), asked, body)
        return given if isinstance(given, tuple) else (200, given)

    def spoilt(self, fault: Any) -> tuple[Any, ...]:
        status, headers = fault
        return status, {"error_code": "FAULT", "message": f"fault {status}"}, headers

    def answer(self, status: int, found: Any, headers: dict[str, str] | None = None) -> None:
        content = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(found, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _post_jobs_runs_submit(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        told = json.loads(body)
        return {"run_id": self.server.start(told["run_name"], told["tasks"], told.get("idempotency_token")).id}

    def _post_jobs_create(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        number = len(self.server.jobs) + 1
        self.server.jobs[number] = json.loads(body)
        return {"job_id": number}

    def _get_jobs_list(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        fits = [(n, job) for n, job in self.server.jobs.items() if asked.get("name") in (None, job["name"])]
        return {"jobs": [{"job_id": number, "settings": job} for number, job in fits]}

    def _post_jobs_run_now(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        told = json.loads(body)
        job = self.server.jobs[told["job_id"]]
        tasks = json.loads(json.dumps(job["tasks"]))
        for task in tasks:
            task["spark_python_task"]["parameters"] = told.get("python_params") or []
        return {"run_id": self.server.start(job["name"], tasks, told.get("idempotency_token")).id}

    def _get_jobs_runs_get(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        run = self.server.runs.get(int(asked["run_id"]))
        if run is None:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": f"Run {asked['run_id']} does not exist."}
        return run.told(self.server.address)

    def _get_jobs_runs_get_output(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        number = int(asked["run_id"])
        run = self.server.runs[number // 1000]
        return run.outputs.get(run.tasks[number % 1000]["task_key"], {})

    def _get_jobs_runs_list(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        return {"runs": [run.told(self.server.address) for run in reversed(self.server.runs.values())]}

    def _post_jobs_runs_cancel(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        self.server.cancel(self.server.runs[json.loads(body)["run_id"]])
        return {}

    def _get_jobs_runs_export(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        from nbconvert import HTMLExporter

        number = int(asked["run_id"])
        task = self.server.runs[number // 1000].tasks[number % 1000]
        page, _ = HTMLExporter().from_filename(task["executed"])
        return {"views": [{"content": page, "name": "notebook", "type": "NOTEBOOK"}]}

    def _get_preview_scim_v2(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        return {"id": "1", "userName": "tests@example.org"}

    def _post_workspace_mkdirs(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        return {}

    def _post_workspace_import(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        told = json.loads(body)
        assert told["format"] == "JUPYTER", told["format"]
        self.server.notebooks[told["path"]] = base64.b64decode(told["content"])
        return {}

    def _put_fs_files(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        place = self.server.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
        return 204, b""

    def _put_fs_directories(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        self.server.place(path).mkdir(parents=True, exist_ok=True)
        return 204, b""

    def _get_fs_files(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        place = self.server.place(path)
        if not place.is_file():
            return 404, {"error_code": "NOT_FOUND", "message": f"The file {path} is not there."}
        return 200, place.read_bytes(), {"Last-Modified": self.date_time_string(int(place.stat().st_mtime))}

    _head_fs_files = _get_fs_files

    def _get_fs_directories(self, path: str, asked: dict[str, str], body: bytes) -> Any:
        place = self.server.place(path)
        if not place.is_dir():
            return 404, {"error_code": "NOT_FOUND", "message": f"The directory {path} is not there."}
        found = [
            {"path": f"{path.rstrip('/')}/{each.name}", "is_directory": each.is_dir(), "file_size": each.stat().st_size}
            for each in sorted(place.iterdir())
        ]
        return {"contents": found}
