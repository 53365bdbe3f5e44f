"""Upload a folder as a user types it: what is sent, what is left alone, what a cut-off run leaves for the next."""

from __future__ import annotations

import hashlib
import os

import pytest

from pipelines.config.loader import load_settings
from pipelines.errors import DataError
from pipelines.sources.labels import read_labels
from pipelines.stages.upload import upload_folder
from tests.azurite import ACCOUNT, KEY
from tests.fault_proxy import fault_proxy

ENV = {"IRBIS_AZURE__ACCOUNT_KEY": KEY}
JPEG = b"\xff\xd8\xff"  # files are sent by how they begin
IMAGES = {f"S{n % 2}/{('cat', 'dog')[n % 3 == 0]}/{n:03} #é.jpg": JPEG + bytes([n]) * (997 + n) for n in range(40)}


@pytest.fixture
def folder(tmp_path):
    for name, content in {**IMAGES, "notes.txt": b"x"}.items():
        (tmp_path / "survey" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "survey" / name).write_bytes(content)
    return tmp_path / "survey"


def contents(container):
    return {blob.name: container.download_blob(blob.name).readall() for blob in container.list_blobs()}


def sent(folder, address, *, dry_run=False, **more):
    settings = load_settings(None, {"sources.images": address, "azure.account_key": KEY, **more})
    return upload_folder(str(folder), settings, dry_run)


def test_a_folder_becomes_blobs_with_type_md5_and_labels(irbis, container, folder):
    done = irbis("upload", str(folder), f"{container.url}/2024", env=ENV)
    assert done.stdout.startswith("upload: 40 found, 40 sent (0.0 MB), 0 there already, 0 failed, ")
    found = contents(container)
    labels = found.pop("2024/labels.csv")
    assert found == {f"2024/{name}": content for name, content in IMAGES.items()}
    name = next(iter(IMAGES))
    kept = container.get_blob_client(f"2024/{name}").get_blob_properties().content_settings
    assert kept.content_type == "image/jpeg"
    assert bytes(kept.content_md5) == hashlib.md5(IMAGES[name]).digest()
    (folder / "labels.csv").write_bytes(labels)
    told = read_labels(str(folder / "labels.csv"))
    assert dict(zip(told["path"], told["label"], strict=True)) == {path: path.split("/")[1] for path in IMAGES}


def test_a_second_upload_sends_what_is_new_or_changed(container, folder):
    sent(folder, container.url)
    first, second = sorted(IMAGES)[:2]
    (folder / first).write_bytes(IMAGES[first] + b"!")
    (folder / second).write_bytes(JPEG + b"?" * (len(IMAGES[second]) - 3))  # the same size
    os.utime(folder / second, (0, 0))
    (folder / "S0/cat/new.JPG").write_bytes(JPEG + b"new")
    lines, is_whole = sent(folder, container.url)
    assert is_whole and lines[0].startswith("upload: 41 found, 3 sent (0.0 MB), 38 there already, 0 failed")
    assert contents(container)[second] == JPEG + b"?" * (len(IMAGES[second]) - 3)


def test_a_dry_run_tells_and_sends_nothing(container, folder):
    lines, is_whole = sent(folder, container.url, dry_run=True)
    assert is_whole and lines[0].startswith("upload: 40 found, 40 to send (0.0 MB), 0 there already")
    assert lines[1:] == [
        "upload: labels.csv with 40 labels would be written next to the images, from folder names (sources.labels = "
        "folder): cat 26, dog 14",
        "upload: note: skipped 1 of 41 files: 1 metadata or text file (txt).",
    ]
    assert contents(container) == {}


OWN = "".join(("path,species\n", *(f"{name},fox\n" for name in sorted(IMAGES)[:30])))


def test_the_folders_own_labels_file_is_sent_and_folders_are_no_labels(container, folder):
    (folder / "labels.csv").write_text(OWN)
    lines, is_whole = sent(folder, container.url)
    assert is_whole and lines[1:] == [
        "upload: labels.csv is uploaded unchanged; folder names are not used as labels. labels.csv: label = species, "
        "path = path; 30 of 40 images have a label, 10 have none.",
        "upload: note: skipped 1 of 41 files: 1 metadata or text file (txt).",
    ]
    assert contents(container)["labels.csv"] == OWN.encode()


def test_a_labels_file_that_cannot_be_used_is_sent_and_not_replaced(container, folder):
    (folder / "labels.csv").write_text(f"path,label,species\n{min(IMAGES)},animal,fox\n")
    lines, _ = sent(folder, container.url)
    assert "But ingest cannot use it: " in lines[1] and "could be the label: label or species" in lines[1]
    assert contents(container)["labels.csv"] == (folder / "labels.csv").read_bytes()


def test_the_file_that_the_settings_name_is_sent_and_the_one_of_the_folder_is_named(container, folder, tmp_path):
    (folder / "labels.csv").write_text(OWN)
    (tmp_path / "species.csv").write_text(OWN.replace("fox", "hare"))
    lines, _ = sent(folder, container.url, **{"sources.labels": str(tmp_path / "species.csv")})
    assert lines[1].startswith(
        "upload: species.csv is uploaded unchanged (sources.labels). species.csv: label = species, "
    )
    assert lines[2] == f"upload: labels.csv in the folder is not uploaded: sources.labels = {tmp_path}/species.csv"
    found = contents(container)
    assert "labels.csv" not in found and found["species.csv"] == (tmp_path / "species.csv").read_bytes()


def test_a_labels_file_of_other_images_is_refused_before_anything_is_sent(container, folder, tmp_path):
    (tmp_path / "other.csv").write_text("path,label\nx/1.jpg,fox\n")
    with pytest.raises(DataError, match=r"none of its 1 paths is among the 40 images found"):
        sent(folder, container.url, **{"sources.labels": str(tmp_path / "other.csv")})
    assert contents(container) == {}


def test_different_labels_in_the_container_are_kept(container, folder):
    by_hand = b"path,label\nS0/cat/000.jpg,leopard\n"
    container.upload_blob("labels.csv", by_hand)
    dry, _ = sent(folder, container.url, dry_run=True)
    assert " would be kept as labels.2" in dry[2] and list(contents(container)) == ["labels.csv"]
    lines, _ = sent(folder, container.url)
    kept = lines[2].rpartition(" ")[2]
    assert lines[2].startswith("upload: the existing labels.csv is kept as labels.2") and kept.endswith(".csv")
    found = contents(container)
    assert found[kept] == by_hand and len(found["labels.csv"].splitlines()) == 41
    (folder / "S0/cat/new.JPG").write_bytes(JPEG + b"new")  # only lines are added: nothing to keep
    lines, _ = sent(folder, container.url)
    assert not any(" kept " in line for line in lines) and len(contents(container)) == 43


def test_only_images_of_the_folder_itself_are_sent(container, folder, tmp_path):
    (tmp_path / "id_rsa").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    (folder / "S0/cat/key.jpg").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    (folder / "S0/cat/empty.jpg").write_bytes(b"")
    (folder / "S0/cat/link.jpg").symlink_to(tmp_path / "id_rsa")
    (folder / "labels.csv").symlink_to(tmp_path / "id_rsa")
    (folder / "S0/cat/a\\..\\b.jpg").write_bytes(JPEG)
    lines, is_whole = sent(folder, container.url, **{"sources.labels": "none"})
    assert not is_whole and lines[0].startswith("upload: 43 found, 40 sent (0.0 MB), 0 there already, 3 failed, ")
    reasons = {": ".join(line.split(": ")[1:3]): line.split(": ")[3] for line in lines[1:-1]}
    assert {name: reason for name, reason in reasons.items() if name.startswith("failed")} == {
        "failed: S0/cat/a\\..\\b.jpg": "forbidden",
        "failed: S0/cat/empty.jpg": "empty",
        "failed: S0/cat/key.jpg": "not_an_image",
    }
    assert reasons.keys() > {f"not read: {folder}/S0/cat/link.jpg", f"not read: {folder}/labels.csv"}
    assert len(reasons) == 5
    assert contents(container) == IMAGES


def test_without_labels_by_folder_no_labels_are_written(container, folder):
    sent(folder, container.url, **{"sources.labels": "none"})
    assert "labels.csv" not in contents(container)


def test_an_account_that_is_busy_is_asked_again(container, azurite, folder):
    with fault_proxy(azurite.port, 0.5, ("503",), seed=3) as proxy:
        address = f"http://127.0.0.1:{proxy.server_port}/{ACCOUNT}/{container.container_name}"
        _, is_whole = sent(folder, address, **{"sources.labels": "none"})
        met = proxy.met["503"]
    assert is_whole and met > 5
    assert contents(container) == IMAGES


def test_what_the_account_refuses_is_named(container, folder, irbis):
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    sent(folder, container.url)
    reading = ContainerSasPermissions(read=True, list=True)
    name = container.container_name
    signature = generate_container_sas(ACCOUNT, name, account_key=KEY, permission=reading, expiry="2099-01-01")
    (folder / "S0/cat/late.jpg").write_bytes(JPEG + b"late")
    lines = irbis("upload", str(folder), container.url, code=1, env={"IRBIS_AZURE__SAS": signature}).stdout.splitlines()
    assert lines[0].startswith("upload: 41 found, 0 sent (0.0 MB), 40 there already, 2 failed, ")
    assert lines[1].startswith("upload: failed: S0/cat/late.jpg: forbidden: Authorization")
    assert lines[2].startswith("upload: failed: labels.csv: forbidden: Authorization")


def test_a_folder_without_images_and_a_target_that_is_no_container_are_refused(container, tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"has no images with the suffixes of sources\.extensions"):
        sent(tmp_path / "empty", container.url)
    with pytest.raises(DataError, match=r"is a folder\. Give a container: az://"):
        sent(folder, str(tmp_path))
