"""The settings file: what is written is read back, and each mistake is one line that helps."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.settings import CropSettings, DictionarySettings, Settings
from autointerp.project.settings_file import read_settings, settings_of_assignments, settings_text

texts = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)


def read(tmp_path, text):
    path = tmp_path / "autointerp.toml"
    path.write_text(text, encoding="utf-8")
    return read_settings(path)


def test_defaults_round_trip(tmp_path):
    assert read(tmp_path, settings_text(Settings())) == Settings()
    assert read(tmp_path, "") == Settings(model="shapes")


@given(
    st.builds(
        Settings,
        model=texts,
        prompts=texts,
        layers=st.none() | st.lists(texts),
        guidance=st.none() | st.floats(0, 1e6) | st.integers(0, 9),
        steps=st.none() | st.integers(1, 100),
        capture_steps=st.none() | st.lists(st.integers(0, 50), min_size=1),
        notes=st.dictionaries(texts, texts, max_size=3),
        dictionary=st.builds(DictionarySettings, names=st.dictionaries(texts, texts, max_size=3)),
        crops=st.builds(CropSettings, top=st.integers(1, 99)),
    )
)
def test_any_settings_round_trip(tmp_path_factory, settings):
    assert read(tmp_path_factory.mktemp("s"), settings_text(settings)) == settings


def test_every_key_is_documented():
    written = settings_text(Settings())
    for model in (Settings, DictionarySettings, CropSettings, LoadingSettings):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert f"# {field.description}\n" in written
            assert f"{name} =" in written or f"[{name}]" in written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("imgaes = 3", ["unknown key 'imgaes'", "did you mean 'images'"]),
        ("[dictionary]\nlatnets = 3", ["'dictionary.latnets'", "did you mean 'latents'"]),
        ("[crop]\ntop = 3", ["unknown key 'crop'", "'crops'"]),
        ("images = 0", ["images", "is 0", "greater than 0"]),
        ("images = -4", ["images", "-4", "greater than 0"]),
        ("images = true", ["images", "integer"]),
        ("size = 'big'", ["size", "'big'", "integer"]),
        ("[crops]\ntop = 0", ["crops.top", "greater than 0"]),
        ("signal = 'inside'", ["signal", "'inside'", "'output' or 'update'"]),
        ("device = 'gpu'", ["device", "'gpu'", "cuda:N"]),
        ("device = 'tpu:0'", ["device", "'tpu:0'", "cuda:N"]),
        ("device = 'cpu:1'", ["device", "'cpu:1'", "cuda:N"]),
        ("device = 'cuda:'", ["device", "'cuda:'", "cuda:N"]),
        ("[loading]\noffload = 'gpu'", ["loading.offload", "'gpu'", "'none', 'model' or 'sequential'"]),
        ("capture_steps = []", ["capture_steps", "at least 1 item"]),
        ("model = ''", ["model", "at least 1 character"]),
        ("seed = 1\nimages = \n", ["not valid TOML", "line 2"]),
    ],
)
def test_each_mistake_is_one_line(tmp_path, text, words):
    with pytest.raises(AutointerpError) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert "\n" not in said
    assert "autointerp.toml" in said
    for word in words:
        assert word in said, said


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:3", "xpu", "xpu:1", "npu:0"])
def test_a_device_need_not_be_on_this_machine(tmp_path, device):
    assert read(tmp_path, f"device = '{device}'").device == device


def test_binary_and_missing_files(tmp_path):
    path = tmp_path / "autointerp.toml"
    with pytest.raises(AutointerpError, match="cannot be read"):
        read_settings(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AutointerpError, match="not text"):
        read_settings(path)


def test_options_change_a_copy():
    settings = Settings().changed(images=7, steps=None, dictionary={"k": 4, "latents": None})
    assert (settings.images, settings.steps, settings.dictionary.k) == (7, None, 4)
    assert settings.dictionary.kind == "topk"
    with pytest.raises(UsageError, match="images in the settings is 0: it should be greater than 0"):
        settings.changed(images=0)


def test_assignments_are_read_as_in_the_file():
    given = [
        "loading.offload=model",
        "loading.vae_tiling = true",
        "guidance=3.5",
        "layers=['mid', \"late\"]",
        "dictionary.names.mid=a.b",
        "prompts=a=b.txt",
        "images=5",
    ]
    settings = settings_of_assignments(given, {"images": 7})
    assert (settings.loading.offload, settings.loading.vae_tiling, settings.guidance) == ("model", True, 3.5)
    assert (settings.layers, settings.dictionary.names, settings.images) == (["mid", "late"], {"mid": "a.b"}, 7)
    assert settings.prompts == "a=b.txt"
    assert settings_of_assignments([], {}) == Settings()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["loading.offlaod=model"], ["unknown key 'loading.offlaod'", "did you mean 'offload'"]),
        (["lodaing.offload=model"], ["unknown key 'lodaing'", "did you mean 'loading'"]),
        (["loading.offload=disk"], ["loading.offload", "'disk'", "'none', 'model' or 'sequential'"]),
        (["loading.vae_tiling=yes"], ["loading.vae_tiling", "'yes'", "boolean"]),
        (["images=5", "images=6"], ["'images' is set twice"]),
        (["images=5", "images.x=6"], ["'images.x' is set in two ways"]),
        (["images"], ["KEY=VALUE"]),
        (["=5"], ["KEY=VALUE"]),
        (["loading.=5"], ["KEY=VALUE"]),
        (["images=5\nsteps=3"], ["images", "integer"]),
    ],
)
def test_wrong_assignments_are_one_line(given, words):
    with pytest.raises(UsageError) as caught:
        settings_of_assignments(given, {})
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
