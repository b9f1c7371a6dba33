"""How a picture was made, by the texts that six generators leave in their files, and by texts that are no such thing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from goldsmith.picture.metadata.generation_settings import MAX_WORDS, GenerationSettings, read_generation_settings
from goldsmith.picture.metadata.xmp_packet import DC, XmpName, XmpPacket
from goldsmith.picture.picture import Metadata

A1111 = """masterpiece, (oak desk:1.2), window light, <lora:film_grain:0.7>, a chair
with a second line
Negative prompt: blurry, (low quality:1.4),
watermark
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 2179987202, Size: 832x1216, Model hash: 31e35c80fc, Model: sd_xl_base_1.0, \
Clip skip: 2, Lora hashes: "film_grain: 1a2b3c, other: 4d5e6f", Version: v1.10.1"""
FOOOCUS_TEXT = """a chair
Negative prompt: blurry
Steps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 4159895726312427221, Size: 1152x896, CFG scale: 4.0, Sharpness: 2.0, \
ADM Guidance: "(1.5, 0.8, 0.3)", Base model: juggernautXL_v8Rundiffusion, Performance: Speed, Version: Fooocus v2.3.1"""
FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "juggernautXL_v8Rundiffusion",
    "base_model_hash": "aeb7e9e689",
    "full_prompt": ["cinematic still a chair . emotional, harmonious"],
    "guidance_scale": 4,
    "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"], ["None", 1.0, ""]],
    "metadata_scheme": "fooocus",
    "negative_prompt": "blurry",
    "performance": "Speed",
    "prompt": "a chair",
    "resolution": "(1152, 896)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "4159895726312427221",
    "sharpness": 2,
    "steps": 30,
    "styles": "['Fooocus V2']",
    "version": "Fooocus v2.3.1",
}
INVOKEAI = {
    "app_version": "5.6.0",
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a chair",
    "negative_prompt": "blurry",
    "width": 1024,
    "height": 1024,
    "seed": 3561204430,
    "cfg_scale": 7.5,
    "steps": 30,
    "scheduler": "dpmpp_2m_sde_k",
    "model": {"key": "a1b2", "hash": "blake3:00", "name": "Juggernaut XL v9", "base": "sdxl", "type": "main"},
    "loras": [{"model": {"key": "c3", "name": "film", "base": "sdxl", "type": "lora"}, "weight": 0.75}],
}
OLD_INVOKEAI = {
    "model": "stable diffusion",
    "model_weights": "stable-diffusion-1.5",
    "image": {
        "prompt": [{"prompt": "a chair [blurry]", "weight": 1.0}],
        "steps": 50,
        "cfg_scale": 7.5,
        "width": 512,
        "height": 768,
        "seed": 42,
        "sampler": "k_lms",
    },
}
SWARMUI = {
    "sui_image_params": {
        "prompt": "a chair <lora:film>",
        "negativeprompt": "blurry",
        "model": "Flux/flux1-dev-fp8",
        "seed": 305223794,
        "steps": 25,
        "cfgscale": 1.0,
        "fluxguidancescale": 3.5,
        "aspectratio": "1:1",
        "width": 1024,
        "height": 768,
        "sampler": "euler",
        "swarm_version": "0.9.4.0",
    }
}
COMFYUI = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 1071208483241017,
            "steps": 30,
            "cfg": 5.45,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl\\sd_xl_base_1.0.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 1280, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["12", 0], "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {"lora_name": "film.safetensors", "strength_model": 0.8, "strength_clip": 1, "model": ["4", 0], "clip": ["4", 1]},
    },
    "12": {"class_type": "PrimitiveString", "inputs": {"value": "a chair"}},
}
FLUX = {
    "5": {"class_type": "EmptySD3LatentImage", "inputs": {"width": ["20", 0], "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a chair", "clip": ["11", 0]}},
    "11": {
        "class_type": "DualCLIPLoader",
        "inputs": {"clip_name1": "t5xxl.safetensors", "clip_name2": "clip_l.safetensors", "type": "flux"},
    },
    "12": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}},
    "13": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {"noise": ["25", 0], "guider": ["22", 0], "sampler": ["16", 0], "sigmas": ["17", 0], "latent_image": ["5", 0]},
    },
    "16": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "17": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 20, "denoise": 1, "model": ["12", 0]}},
    "20": {"class_type": "PrimitiveInt", "inputs": {"value": 1344}},
    "22": {"class_type": "BasicGuider", "inputs": {"model": ["12", 0], "conditioning": ["26", 0]}},
    "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": 77}},
    "26": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["6", 0]}},
}


def read(keyword: str, text: Any) -> GenerationSettings | None:
    """Return the settings in a PNG's text; anything but a text becomes JSON."""
    return read_generation_settings(Metadata(text_chunks=((keyword, text if isinstance(text, str) else json.dumps(text)),)))


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        (
            "parameters",
            A1111,
            {
                "tool": "A1111",
                "prompt": "masterpiece, (oak desk:1.2), window light, a chair\nwith a second line",
                "negative": "blurry, (low quality:1.4),\nwatermark",
                "seed": 2179987202,
                "steps": 28,
                "guidance": 6.5,
                "size": [832, 1216],
                "model": "sd_xl_base_1.0",
                "sampler": "DPM++ 2M Karras",
                "loras": [("film_grain", 0.7)],
            },
        ),
        (
            "parameters",
            FOOOCUS_TEXT,
            {
                "tool": "Fooocus",
                "prompt": "a chair",
                "negative": "blurry",
                "seed": 4159895726312427221,
                "steps": 30,
                "guidance": 4.0,
                "size": [1152, 896],
                "model": "juggernautXL_v8Rundiffusion",
                "sampler": "DPM++ 2M SDE Karras",
            },
        ),
        (
            "parameters",
            FOOOCUS,
            {
                "tool": "Fooocus",
                "prompt": "a chair",
                "negative": "blurry",
                "seed": 4159895726312427221,
                "steps": 30,
                "guidance": 4.0,
                "size": [1152, 896],
                "model": "juggernautXL_v8Rundiffusion",
                "sampler": "dpmpp_2m_sde_gpu",
                "loras": [("sd_xl_offset_example-lora_1.0", 0.1)],
            },
        ),
        (
            "invokeai_metadata",
            INVOKEAI,
            {
                "tool": "InvokeAI",
                "prompt": "a chair",
                "negative": "blurry",
                "seed": 3561204430,
                "steps": 30,
                "guidance": 7.5,
                "size": [1024, 1024],
                "model": "Juggernaut XL v9",
                "sampler": "dpmpp_2m_sde_k",
                "loras": [("film", 0.75)],
            },
        ),
        (
            "sd-metadata",
            OLD_INVOKEAI,
            {
                "tool": "InvokeAI",
                "prompt": "a chair",
                "negative": "blurry",
                "seed": 42,
                "steps": 50,
                "guidance": 7.5,
                "size": [512, 768],
                "model": "stable-diffusion-1.5",
                "sampler": "k_lms",
            },
        ),
        (
            "parameters",
            SWARMUI,
            {
                "tool": "SwarmUI",
                "prompt": "a chair",
                "negative": "blurry",
                "seed": 305223794,
                "steps": 25,
                "guidance": 3.5,
                "size": [1024, 768],
                "model": "Flux/flux1-dev-fp8",
                "sampler": "euler",
                "loras": [("film", 1.0)],
            },
        ),
        (
            "prompt",
            COMFYUI,
            {
                "tool": "ComfyUI",
                "prompt": "a chair",
                "negative": "blurry",
                "seed": 1071208483241017,
                "steps": 30,
                "guidance": 5.45,
                "size": [1024, 1280],
                "model": "xl\\sd_xl_base_1.0.safetensors",
                "sampler": "euler",
                "loras": [("film", 0.8)],
            },
        ),
        (
            "prompt",
            FLUX,
            {
                "tool": "ComfyUI",
                "prompt": "a chair",
                "seed": 77,
                "steps": 20,
                "guidance": 3.5,
                "size": [1344, 768],
                "model": "flux1-dev.safetensors",
                "sampler": "euler",
            },
        ),
    ],
    ids=["A1111", "Fooocus as A1111", "Fooocus", "InvokeAI", "InvokeAI 2", "SwarmUI", "ComfyUI", "ComfyUI with Flux"],
)
def test_the_settings_of_each_tool_are_read(keyword: str, text: Any, expected: dict[str, Any]) -> None:
    """Everything that a brief can say, from files as the tools write them."""
    settings = read(keyword, text)
    assert settings is not None
    assert settings.to_record() == expected
    assert not settings.is_from_picture


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("parameters", A1111.replace("Clip skip: 2", "Denoising strength: 0.4")),
        ("prompt", {**COMFYUI, "3": {**COMFYUI["3"], "inputs": {**COMFYUI["3"]["inputs"], "denoise": 0.4}}}),  # type: ignore[dict-item]
        ("invokeai_metadata", {**INVOKEAI, "generation_mode": "sdxl_img2img", "strength": 0.4}),
        ("parameters", {"sui_image_params": {**SWARMUI["sui_image_params"], "initimage": "x", "initimagecreativity": 0.4}}),
    ],
)
def test_a_picture_that_was_made_from_another_is_known(keyword: str, text: Any) -> None:
    """Its strength is read, too."""
    settings = read(keyword, text)
    assert settings is not None
    assert (settings.is_from_picture, settings.strength) == (True, 0.4)


def test_a_second_pass_of_a1111_is_no_other_picture() -> None:
    """Its denoising strength belongs to the enlargement."""
    settings = read("parameters", A1111.replace("Clip skip: 2", "Denoising strength: 0.4, Hires upscale: 2"))
    assert settings is not None
    assert not settings.is_from_picture


def test_of_several_samplers_the_first_that_starts_from_nothing_counts() -> None:
    """The second one enlarges."""
    second = {"class_type": "KSampler", "inputs": {**COMFYUI["3"]["inputs"], "seed": 5, "denoise": 0.5, "latent_image": ["30", 0]}}  # type: ignore[dict-item]
    graph = {"2": second, "30": {"class_type": "LatentUpscale", "inputs": {"samples": ["3", 0], "width": 9, "height": 9}}, **COMFYUI}
    settings = read("prompt", graph)
    assert settings is not None
    assert (settings.seed, settings.size) == (1071208483241017, (1024, 1280))


def test_words_that_a_node_removes_are_no_negative_prompt() -> None:
    """Flux workflows connect a zeroed copy of the prompt."""
    zeroed = {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}}
    settings = read("prompt", {**COMFYUI, "7": zeroed})
    assert settings is not None
    assert (settings.prompt, settings.negative) == ("a chair", "")


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + A1111.encode("utf-16-be"),
        b"UNICODE\0" + A1111.encode("utf-16-le"),
        b"ASCII\0\0\0" + A1111.encode(),
        bytes(8) + A1111.encode(),
    ],
)
def test_a_jpeg_keeps_its_settings_in_exif(comment: bytes) -> None:
    """In UserComment, in the encodings and byte orders that writers use."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    settings = read_generation_settings(Metadata(exif=exif.tobytes().removeprefix(b"Exif\0\0")))
    assert settings is not None
    assert settings == read("parameters", A1111)


@pytest.mark.parametrize(
    "text",
    [
        '{"3": {"class_type": "KSampler", "inputs": {"seed": 1, "latent_image": ["3", 0], "positive": ["3", 0], "model": ["3", 0]}}}',
        "[" * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        '{"sui_image_params": {"seed": ' + "9" * 6000 + "}}",
        '{"sui_image_params": {"prompt": ["a"], "seed": true, "steps": {"x": 1}, "loras": "x", "model": 7}}',
        '{"image": 5}',
        '{"base_model": null, "loras": [[1], [], null, [2, 3]], "resolution": {}}',
        '{"loras": [1, {"model": 5}], "model": []}',
        "Steps: 20, Seed: " + "1" * 5000,
        "\nNegative prompt: \nSteps: 1, " + "a: b, " * 20_000,
        'Steps: 1, a: "' + "\\" * 5000,
        "{" * 20,
        "",
        "null",
        "\x00\x1b[31m",
    ],
)
def test_texts_of_strangers_do_no_harm(text: str) -> None:
    """Circles, bombs, wrong types and broken texts are read as nothing, or as the little that fits."""
    for keyword in ("parameters", "prompt", "invokeai_metadata", "sd-metadata", "Comment"):
        settings = read(keyword, text)
        assert settings is None or len(json.dumps(settings.to_record())) < 20_000


def test_long_words_and_hidden_characters_are_cut() -> None:
    """A prompt has the length that a brief takes, and nothing that a terminal obeys."""
    settings = read("invokeai_metadata", {**INVOKEAI, "positive_prompt": "a\x1b[31mb\x00" + "x" * 100_000, "loras": [{}] * 1000})
    assert settings is not None
    assert len(settings.prompt) == MAX_WORDS
    assert settings.prompt.startswith("a[31mbx")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["3", "KSampler", "text"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["3", "4", "inputs", "class_type", "latent_image", "positive", "seed", "loras", "model", "image"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read_without_an_error(value: Any) -> None:
    """Whatever its shape."""
    for keyword in ("parameters", "prompt", "invokeai_metadata", "sd-metadata"):
        read(keyword, {"3": value, "sui_image_params": value, "image": value, "base_model": "x", "loras": value})


MIDJOURNEY = "a red chair, studio light --ar 3:2 --no text, logo --seed 77 --v 6.1 Job ID: 0f5e3a3e-1111-2222-3333-444455556666"


@pytest.mark.parametrize("dash", ["--", "—"])
def test_a_description_of_midjourney_is_read(dash: str) -> None:
    """Words, negative words, seed and version; in the text of a PNG, and in XMP."""
    settings = read("Description", MIDJOURNEY.replace("--", dash))
    assert settings is not None
    assert (settings.tool, settings.prompt, settings.negative) == ("Midjourney", "a red chair, studio light", "text, logo")
    assert (settings.seed, settings.model) == (77, "v6.1")
    packet = XmpPacket()
    packet.set_alternative(XmpName(DC, "description"), MIDJOURNEY)
    assert read_generation_settings(Metadata(xmp=packet.to_bytes())) is not None


@pytest.mark.parametrize("text", ["A chair in the studio", "Chair -- the red one", "--draft", "", "--" * 5000])
def test_an_ordinary_description_is_nobody_s_prompt(text: str) -> None:
    """A photographer writes descriptions, too."""
    assert read("Description", text) is None
