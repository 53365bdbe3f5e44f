"""The manifests in deploy/kubernetes: pods, rights, network policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from py4j.java_collections import JavaMap

from tests.deploy.kubernetes_files import PODS, dockerfile_instructions, documents, spark_settings


def test_the_image_runs_as_the_user_of_the_pods_and_not_as_root():
    told = dict(dockerfile_instructions())
    assert told["USER"] == "185"
    assert "--uid 185" in " ".join(rest for word, rest in dockerfile_instructions() if word == "RUN")
    for name in PODS:
        (pod,) = documents(name)
        assert pod["spec"]["securityContext"]["runAsUser"] == pod["spec"]["securityContext"]["fsGroup"] == 185


def test_pods_pass_what_the_namespace_demands_of_them():
    """The level `restricted` of Kubernetes' Pod Security Standards."""
    (space,) = (each for each in documents("access.yaml") if each["kind"] == "Namespace")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name in PODS:
        (pod,) = documents(name)
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    for setting in spark_settings("spark.conf"):  # which would add what is not allowed
        assert "hostPath" not in setting


def test_kubernetes_own_classes_know_every_property(spark):
    read = spark.sparkContext._jvm.io.fabric8.kubernetes.client.utils.Serialization.unmarshal
    for name in ("access.yaml", *PODS):
        for document in documents(name):
            assert list(_unknown(document, read(json.dumps(document)))) == []
    (claim,) = (each for each in documents("access.yaml") if each["kind"] == "PersistentVolumeClaim")
    claim["spec"]["accesModes"] = claim["spec"].pop("accessModes")
    assert list(_unknown(claim, read(json.dumps(claim)))) == ["accesModes"]


def _unknown(value: Any, read: Any) -> Iterator[str]:
    """Return the properties of a document that the object read from it lacks."""
    if isinstance(value, list):
        for i, each in enumerate(value):
            yield from _unknown(each, read[i])
    elif isinstance(value, dict) and isinstance(read, JavaMap):  # any names, as of labels
        return
    elif isinstance(value, dict):
        strange = set(read.getAdditionalProperties()) & set(value)
        yield from strange
        for key in value.keys() - strange:
            yield from _unknown(value[key], getattr(read, f"get{key[0].upper()}{key[1:]}")())


def test_the_driver_may_do_what_it_must_in_its_own_namespace_and_nothing_else():
    found = {each["kind"]: each for each in documents("access.yaml") if each["kind"] != "ServiceAccount"}
    assert set(found) == {"Namespace", "Role", "RoleBinding", "NetworkPolicy", "PersistentVolumeClaim"}
    rights = {tuple(rule["resources"]): set(rule["verbs"]) for rule in found["Role"]["rules"]}
    assert rights == {  # no claims: the workspace's is one of them
        ("pods",): {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
        ("configmaps",): {"get", "list", "create", "delete", "deletecollection"},
        ("services",): {"get", "list", "delete", "deletecollection"},
    }
    settings = spark_settings("spark.conf")
    assert settings["spark.kubernetes.namespace"] == found["Namespace"]["metadata"]["name"]
    accounts = [each for each in documents("access.yaml") if each["kind"] == "ServiceAccount"]
    driver, executor = (
        settings[f"spark.kubernetes.authenticate.{side}.serviceAccountName"] for side in ("driver", "executor")
    )
    assert [each["metadata"]["name"] for each in accounts] == [driver, executor]
    assert [each.get("automountServiceAccountToken") for each in accounts] == [None, False]
    assert [each["name"] for each in found["RoleBinding"]["subjects"]] == [driver]
    for claims in ("own", "reuse"):  # so that Spark does not ask for what it may not
        assert settings[f"spark.kubernetes.driver.{claims}PersistentVolumeClaim"] == "false"
    assert not [name for name in settings.values() if name == "OnDemand"]
    claim = found["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volume = "spark.kubernetes.{}.volumes.persistentVolumeClaim.data.{}"
    for side in ("driver", "executor"):
        assert settings[volume.format(side, "options.claimName")] == claim["metadata"]["name"]
        assert settings[volume.format(side, "mount.path")] == "/data"


def test_pods_are_reached_by_one_another_alone_and_reach_names_and_https():
    (policy,) = (each["spec"] for each in documents("access.yaml") if each["kind"] == "NetworkPolicy")
    assert policy["podSelector"] == {} and set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["ingress"] == [{"from": [{"podSelector": {}}]}]
    among, outside = policy["egress"]
    assert among == {"to": [{"podSelector": {}}]} and set(outside) == {"ports"}
    assert {(each["protocol"], each["port"]) for each in outside["ports"]} == {
        *(("UDP", 53), ("TCP", 53)),
        *(("TCP", 443), ("TCP", 6443)),
    }
