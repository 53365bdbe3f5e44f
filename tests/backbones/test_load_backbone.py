"""Loading a backbone: its feature id, validated parameters, and its weights."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.backbones import Backbone, backbones_from_settings, feature_id, load_backbone, resolve_weights_files
from pipelines.backbones.weights import find_weights
from pipelines.errors import SettingsError, WeightsError
from pipelines.images.preprocess import Preprocessing


def test_identity_is_name_digest_of_the_weights_and_preprocessing() -> None:
    chosen = Backbone("resnet18", b"weights", Preprocessing(size=96))
    assert chosen.feature_id == f"resnet18@{hashlib.sha256(b'weights').hexdigest()[:8]}/squash96-bilinear"


CHANGES: dict[str, Any] = {
    "size": 9,
    "resize_mode": "pad",
    "resize": 11,
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.4),
    "std": (0.229, 0.224, 0.22),
    "crop_bottom": 0.07,
}


def test_identity_changes_with_whatever_changes_features_and_with_nothing_else() -> None:
    base = Backbone("resnet18", b"weights", Preprocessing(size=8, resize_mode="crop", resize=10))
    assert set(CHANGES) == set(vars(base.preprocessing))
    changed = [
        replace(base, preprocessing=replace(base.preprocessing, **{name: value})) for name, value in CHANGES.items()
    ]
    changed += [replace(base, name="resnet50"), replace(base, weights=b"weightz")]
    identities = {each.feature_id for each in changed}
    assert len(identities) == len(changed) and base.feature_id not in identities
    same = [pickle.loads(pickle.dumps(base)), replace(base, max_pixels=5)]
    assert {each.feature_id for each in same} == {base.feature_id}


def test_a_backbone_shown_in_a_notebook_does_not_print_its_weights() -> None:
    shown = repr(load_backbone("irbis_tiny"))
    assert "name='irbis_tiny'" in shown and "weights=" not in shown


def test_loading_reads_the_given_weights_and_changes_the_preprocessing(tmp_path: Path) -> None:
    file = tmp_path / "ours.safetensors"
    file.write_bytes(find_weights("irbis_tiny", None, "").read_bytes())
    chosen = load_backbone("irbis_tiny", weights=str(file), size=70, resize_mode=None, crop_bottom=0.5, max_pixels=99)
    own = load_backbone("irbis_tiny").preprocessing
    assert chosen == Backbone(
        "irbis_tiny", file.read_bytes(), replace(own, size=70, resize=80, crop_bottom=0.5), max_pixels=99
    )
    file.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"ours\.safetensors .*empty"):
        load_backbone("irbis_tiny", weights=str(file))


def test_a_crop_keeps_its_share_of_the_image_at_another_size() -> None:
    def cropped(**numbers: Any) -> str:
        return load_backbone("irbis_tiny", resize_mode="crop", **numbers).feature_id.split("/")[1].split("-")[0]

    assert cropped() == "crop160of183"  # the proportion of 224 to 256
    assert cropped(size=320) == "crop320of366"
    assert cropped(size=320, resize=330) == "crop320of330"


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ({"resize_mode": "stretch"}, r"images: resize_mode is 'stretch': expected one of squash, crop, pad"),
        ({"size": "big"}, r"images: size is 'big': a whole number"),
        ({"size": 31}, r"images.size = 31: irbis_tiny takes 32 to 4096 pixels a side"),
        ({"crop": True}, r"images: preprocessing has no parameter crop. Known: size, resize_mode,"),
    ],
)
def test_numbers_that_do_not_fit_are_settings_errors(numbers: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        load_backbone("irbis_tiny", **numbers)


def test_a_network_of_fixed_size_rejects_others_before_searching_weights() -> None:
    with pytest.raises(SettingsError, match=r"images.size = 160: vit_b_16 takes 224 pixels a side"):
        load_backbone("vit_b_16", size=160, weights="gone.pth")


def test_settings_name_backbone_weights_and_preprocessing(make_settings: Callable[..., Any]) -> None:
    settings = make_settings(
        {"featurize.backbone": "irbis_tiny", "images.size": 96, "images.resize_mode": "pad", "images.max_megapixels": 2}
    )
    (chosen,) = backbones_from_settings(settings)
    assert chosen.feature_id.startswith("irbis_tiny@") and "/pad96-" in chosen.feature_id
    assert chosen.max_pixels == 2_000_000


def test_names_joined_by_plus_are_several_backbones_in_the_order_given(make_settings: Callable[..., Any]) -> None:
    settings = make_settings({"featurize.backbone": "raw_pixels + irbis_tiny", "images.resize_mode": "pad"})
    pixels, tiny = backbones_from_settings(settings)
    assert (pixels.name, tiny.name) == ("raw_pixels", "irbis_tiny")
    assert feature_id(settings) == f"{pixels.feature_id}+{tiny.feature_id}"
    assert "/pad32-" in pixels.feature_id and "/pad160-" in tiny.feature_id


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            {"backbone": "irbis_tiny+"},
            r"^featurize.backbone = irbis_tiny\+: a name is missing beside a \+\. Write squee",
        ),
        ({"backbone": "+"}, r"a name is missing beside a \+"),
        ({"backbone": "raw_pixels+irbis_tiny+raw_pixels"}, r"raw_pixels: raw_pixels is repeated, which adds no"),
        ({"backbone": "raw_pixels+irbis_tony"}, r"irbis_tony: not known\. Did you mean 'irbis_tiny'\?"),
        (
            {"backbone": "raw_pixels+irbis_tiny", "weights": "ours.pth"},
            r"^featurize.weights = ours.pth: a file belongs to one backbone, but featurize.backbone = "
            r"raw_pixels\+irbis_tiny\. Set it to null, and put the files into "
            r"~/.cache/irbis/weights \(featurize.weights_cache\)",
        ),
    ],
)
def test_joined_names_that_do_not_fit_are_settings_errors(
    make_settings: Callable[..., Any], words: dict[str, str], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        backbones_from_settings(
            make_settings({f"featurize.{name}": value for name, value in words.items()}), check=False
        )


def test_weights_files_are_resolved_without_reading_or_downloading(
    make_settings: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "resnet18-5c106cde.pth"
    file.write_bytes(b"")
    names = "irbis_tiny+raw_pixels+resnet18+resnet50"
    several = make_settings({"featurize.backbone": names, "featurize.weights_cache": str(tmp_path)})
    assert resolve_weights_files(several.featurize) == [find_weights("irbis_tiny", None, ""), file]
    assert resolve_weights_files(make_settings({"featurize.weights": "ours.pth"}).featurize) == [Path("ours.pth")]


def test_cached_weights_that_are_not_those_of_their_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "squeezenet1_1-b8a52dc0.pth"
    file.write_bytes(b"PK cut off")
    begins = hashlib.sha256(b"PK cut off").hexdigest()[:8]
    with pytest.raises(WeightsError, match=rf"^{file} is damaged: its SHA-256 begins with {begins}, .* b8a52dc0\. Rem"):
        load_backbone("squeezenet1_1", cache=str(tmp_path), check=False)
    file.rename(tmp_path / f"squeezenet1_1-{begins}.pth")
    assert load_backbone("squeezenet1_1", cache=str(tmp_path), check=False).weights == b"PK cut off"
    (tmp_path / f"squeezenet1_1-{begins}.pth").rename(tmp_path / "squeezenet1_1-ours.pth")  # of no published name
    assert load_backbone("squeezenet1_1", cache=str(tmp_path), check=False).weights == b"PK cut off"


def test_a_list_of_sha_256_refuses_every_other_file_of_weights(
    make_settings: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "resnet18.safetensors"
    file.write_bytes(b"ours")
    own, other = hashlib.sha256(b"ours").hexdigest(), hashlib.sha256(b"theirs").hexdigest()

    def loaded(name: str, *listed: str, **changed: str) -> bytes:
        changes = {"backbone": name, "weights_sha256": list(listed), "weights_cache": str(tmp_path), **changed}
        settings = make_settings({f"featurize.{key}": value for key, value in changes.items()})
        return backbones_from_settings(settings, check=False)[0].weights

    refusal = rf"^{file} has the SHA-256 {own}, which featurize.weights_sha256 does not list\. If"
    for changed in ({}, {"weights": str(file)}):  # found in the cache, and named
        assert loaded("resnet18", **changed) == loaded("resnet18", other, own.upper(), **changed) == b"ours"
        with pytest.raises(WeightsError, match=refusal):
            loaded("resnet18", other, **changed)
    assert len(loaded("irbis_tiny", other)) > 10**6  # comes with this package
    assert loaded("raw_pixels", other) == b""


@pytest.mark.parametrize("value", ["b8a52dc0", "sha256:" + "0" * 64, "g" * 64])
def test_what_is_no_sha_256_is_refused(make_settings: Callable[..., Any], value: str) -> None:
    with pytest.raises(SettingsError, match=rf"featurize.weights_sha256.*'{value}' is no SHA-256 of 64 hexadecimal"):
        make_settings({"featurize.weights_sha256": [value]})
