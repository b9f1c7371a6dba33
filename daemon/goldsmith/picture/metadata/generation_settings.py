"""Read how a picture was made from what its generator has left in it: prompt, seed, steps, guidance, size, model and LoRAs.

Read are the texts of A1111 (and its relatives), ComfyUI, InvokeAI, Fooocus and SwarmUI, in a PNG's text chunks or in Exif's UserComment,
and the description that Midjourney writes, there or in XMP.
They are a stranger's words: what does not fit is left out, and nothing raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from goldsmith.picture.metadata.comfyui_graph import read_graph
from goldsmith.picture.metadata.exif_block import IMAGE_DESCRIPTION, read_exif
from goldsmith.picture.metadata.xmp_packet import DC, UnreadableXmp, XmpName, XmpPacket, read_xmp
from goldsmith.picture.picture import Metadata

# Letters of a prompt and of a name that are kept.
MAX_WORDS, MAX_NAME = 4000, 200
_MAX_LORAS = 8
_MAX_SEED = 2**63 - 1
_MAX_SIDE = 30_000
_USER_COMMENT = 0x9286
_LORA_TAG = re.compile(r"<(lora|lyco|hypernet):([^:<>]{1,200})(?::([^:<>]{0,50}))?(?::[^<>]{0,100})?>", re.IGNORECASE)
# The last line of A1111's text: "Steps: 20, Sampler: Euler a, CFG scale: 7, …". A value with commas is in quotes.
_A1111_SETTINGS = re.compile(r"(?:^|\n)(Steps: \d+, [^\n]*)\s*$")
_A1111_PAIR = re.compile(r'\s*([\w ()/-]{1,60}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
# Midjourney writes its switches behind the words; some editors make one dash of two.
_MIDJOURNEY_SWITCH = re.compile(r"(?:^|\s)(?:--|—)([a-z]{1,12})\b[ \t]*((?:(?!\s(?:--|—))[^\n]){0,300})", re.IGNORECASE)
_MIDJOURNEY_SWITCHES = frozenset({"ar", "v", "version", "niji", "stylize", "s", "chaos", "sref", "cref", "oref", "profile", "weird"})
_MIDJOURNEY_JOB = re.compile(r"\s*[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_XMP_DESCRIPTION = XmpName(DC, "description")
_NEGATIVE = re.compile(r"(?:^|\n)Negative prompt: ?")

Loras = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How a picture was made; None and "" = not known.

    size: width and height in px at which it was drawn. model: the name or the file that its generator used. is_from_picture: True if it
    was made from another picture, which the file does not hold. seed: below 2**63.
    """

    tool: str
    prompt: str = ""
    negative: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    size: tuple[int, int] | None = None
    model: str = ""
    sampler: str = ""
    loras: Loras = ()
    strength: float | None = None
    is_from_picture: bool = False

    def to_record(self) -> dict[str, object]:
        """Return what is known, as plain JSON."""
        names = ("tool", "prompt", "negative", "seed", "steps", "guidance", "size", "model", "sampler", "loras", "strength")
        pairs = ((name, getattr(self, name)) for name in names)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in pairs if value not in (None, "", ())}


def read_generation_settings(metadata: Metadata) -> GenerationSettings | None:
    """Return how the picture was made, by what its metadata say; None if they say nothing."""
    texts: dict[str, str] = {}
    for keyword, text in metadata.text_chunks:
        texts.setdefault(keyword.casefold(), text)
    comment = "" if metadata.exif is None else _user_comment(metadata.exif)
    sources = (
        (_read_invokeai, texts.get("invokeai_metadata", "")),
        (_read_parameters, texts.get("parameters", "")),
        (_read_comfyui, texts.get("prompt", "")),
        (_read_old_invokeai, texts.get("sd-metadata", "")),
        (_read_parameters, comment),
        *((_read_midjourney, text) for text in _descriptions(metadata, texts)),
    )
    return next((settings for read, text in sources if text and (settings := read(text)) is not None), None)


def _descriptions(metadata: Metadata, texts: Mapping[str, str]) -> list[str]:
    """Return the descriptions of a picture: in a PNG's text, in Exif and in XMP."""
    block = None if metadata.exif is None else read_exif(metadata.exif)
    try:
        packet = XmpPacket() if metadata.xmp is None else read_xmp(metadata.xmp)
    except UnreadableXmp:
        packet = XmpPacket()
    return [texts.get("description", ""), "" if block is None else block.image_text(IMAGE_DESCRIPTION), packet.text(_XMP_DESCRIPTION)]


def _user_comment(exif: bytes) -> str:
    """Return Exif's UserComment; its first eight bytes name its encoding (Exif 3.0, 4.6.6)."""
    block = read_exif(exif)
    entry = None if block is None else block.photo.get(_USER_COMMENT)
    if block is None or entry is None:
        return ""
    code, text = entry.value[:8], entry.value[8:]
    if code != b"UNICODE\0":
        return text.decode("utf-8", "replace").strip("\0 ")
    # Writers disagree about the byte order; ASCII letters show it.
    encoding = "utf-16-be" if text[:1] == b"\0" else "utf-16-le"
    return text.decode(encoding, "replace").strip("\0 ")


def _parse_object(text: str) -> Mapping[str, object] | None:
    """Return the JSON object in a text; None if it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Mapping) else None


# ---------------------------------------------------------------------- the tools


def _read_parameters(text: str) -> GenerationSettings | None:
    """Read the text "parameters", which three tools write: JSON of SwarmUI or Fooocus, else the lines of A1111."""
    values = _parse_object(text) if text.lstrip().startswith("{") else None
    if values is None:
        return _read_a1111(text)
    swarm = values.get("sui_image_params")
    return _read_swarmui(swarm) if isinstance(swarm, Mapping) else _read_fooocus(values)


def _read_a1111(text: str) -> GenerationSettings | None:
    text = text.replace("\r\n", "\n")
    settings = _A1111_SETTINGS.search(text)
    if settings is None:
        return None
    values = {match[1].strip().casefold(): match[2].strip().strip('"') for match in _A1111_PAIR.finditer(settings[1])}
    words = _NEGATIVE.split(text[: settings.start()], maxsplit=1)
    size = re.fullmatch(r"(\d{1,5})x(\d{1,5})", values.get("size", ""))
    has_second_pass = any(name.startswith("hires") for name in values)
    return _checked(
        GenerationSettings("Fooocus" if "fooocus" in values.get("version", "").casefold() else "A1111"),
        {
            "prompt": words[0],
            "negative": words[1] if len(words) > 1 else "",
            "seed": values.get("seed"),
            "steps": values.get("steps"),
            "guidance": values.get("distilled cfg scale") or values.get("cfg scale"),
            "width": size and size[1],
            "height": size and size[2],
            "model": values.get("model") or values.get("base model"),
            "sampler": values.get("sampler"),
            "strength": None if has_second_pass else values.get("denoising strength"),
        },
    )


def _read_midjourney(text: str) -> GenerationSettings | None:
    """Read "words --ar 3:2 --v 6.1 Job ID: …": a description without a switch or a job of Midjourney is nobody's prompt."""
    words, _, job = text[: 4 * MAX_WORDS].partition("Job ID:")
    switches = {match[1].lower(): match[2] for match in _MIDJOURNEY_SWITCH.finditer(words)}
    if not (_MIDJOURNEY_JOB.match(job) or switches.keys() & _MIDJOURNEY_SWITCHES):
        return None
    first = _MIDJOURNEY_SWITCH.search(words)
    version = switches.get("niji") or switches.get("version") or switches.get("v") or ""
    model = f"niji {version}" if "niji" in switches else f"v{version}" if version else ""
    values = {"prompt": words if first is None else words[: first.start()], "negative": switches.get("no"), "model": model.strip()}
    return _checked(GenerationSettings("Midjourney"), {**values, "seed": switches.get("seed")})


def _read_swarmui(values: Mapping[str, object]) -> GenerationSettings | None:
    names, weights = _as_sequence(values.get("loras")), _as_sequence(values.get("loraweights"))
    return _checked(
        GenerationSettings("SwarmUI"),
        {
            **{name: values.get(name) for name in ("prompt", "seed", "steps", "width", "height", "model", "sampler")},
            "negative": values.get("negativeprompt"),
            "guidance": values.get("fluxguidancescale") or values.get("cfgscale"),
            "strength": values.get("initimagecreativity") if values.get("initimage") else None,
            "loras": [(name, weights[number] if number < len(weights) else 1.0) for number, name in enumerate(names)],
        },
    )


def _read_fooocus(values: Mapping[str, object]) -> GenerationSettings | None:
    if "base_model" not in values and "metadata_scheme" not in values:
        return None
    numbers = re.findall(r"\d{1,5}", str(values.get("resolution", ""))[:40])
    loras = [each for each in _as_sequence(values.get("loras")) if isinstance(each, Sequence) and len(each) >= 2]
    return _checked(
        GenerationSettings("Fooocus"),
        {
            **{name: values.get(name) for name in ("prompt", "seed", "steps", "sampler")},
            "negative": values.get("negative_prompt"),
            "guidance": values.get("guidance_scale"),
            "width": numbers[0] if len(numbers) == 2 else None,
            "height": numbers[1] if len(numbers) == 2 else None,
            "model": values.get("base_model"),
            "loras": [(each[0], each[1]) for each in loras],
        },
    )


def _read_invokeai(text: str) -> GenerationSettings | None:
    values = _parse_object(text)
    if values is None:
        return None
    loras = [each for each in _as_sequence(values.get("loras")) if isinstance(each, Mapping)]
    return _checked(
        GenerationSettings("InvokeAI"),
        {
            **{name: values.get(name) for name in ("seed", "steps", "width", "height")},
            "prompt": values.get("positive_prompt"),
            "negative": values.get("negative_prompt"),
            "guidance": values.get("guidance") or values.get("cfg_scale"),
            "model": _invokeai_name(values.get("model")),
            "sampler": values.get("scheduler"),
            "strength": values.get("strength") if values.get("init_image") or "img2img" in str(values.get("generation_mode")) else None,
            "loras": [(_invokeai_name(each.get("model") or each.get("lora")), each.get("weight", 1.0)) for each in loras],
        },
    )


def _invokeai_name(model: object) -> object:
    """Return the name of a model's record; versions differ in its key."""
    if not isinstance(model, Mapping):
        return model
    return model.get("name") or model.get("model_name") or model.get("key")


def _read_old_invokeai(text: str) -> GenerationSettings | None:
    """Read what InvokeAI wrote before version 3: "sd-metadata"."""
    values = _parse_object(text)
    image = None if values is None else values.get("image")
    if values is None or not isinstance(image, Mapping):
        return None
    prompt = image.get("prompt")
    parts = [each.get("prompt") for each in _as_sequence(prompt) if isinstance(each, Mapping)]
    words = prompt if isinstance(prompt, str) else " ".join(part for part in parts if isinstance(part, str))
    # Words that are not to be shown stood in square brackets.
    negative = ", ".join(re.findall(r"\[([^\[\]]*)\]", words))
    return _checked(
        GenerationSettings("InvokeAI"),
        {
            **{name: image.get(name) for name in ("seed", "steps", "width", "height", "sampler")},
            "prompt": re.sub(r"\[[^\[\]]*\]", "", words),
            "negative": negative,
            "guidance": image.get("cfg_scale"),
            "model": values.get("model_weights"),
        },
    )


def _read_comfyui(text: str) -> GenerationSettings | None:
    # ComfyUI writes NaN for some inputs, which json reads.
    graph = _parse_object(text)
    values = {} if graph is None else read_graph(graph)
    return _checked(GenerationSettings("ComfyUI"), values) if values else None


# ---------------------------------------------------------------------- the values


def _as_sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _checked(settings: GenerationSettings, values: Mapping[str, object]) -> GenerationSettings | None:
    """Return the settings with the values that fit; None if neither words nor a seed are among them."""
    tagged: list[tuple[object, object]] = []

    def take_tag(match: re.Match[str]) -> str:
        if match[1].casefold() != "hypernet":
            tagged.append((match[2], match[3] or 1.0))
        return ""

    words = {name: _LORA_TAG.sub(take_tag, _text(values.get(name), 4 * MAX_WORDS)) for name in ("prompt", "negative")}
    wide, high = (_number(values.get(name), 16, _MAX_SIDE) for name in ("width", "height"))
    strength = _number(values.get("strength"), 0.0, 1.0)
    seed, steps = _whole(values.get("seed"), 0, _MAX_SEED), _whole(values.get("steps"), 1, 200)
    loras = [value for value in _as_sequence(values.get("loras")) if isinstance(value, tuple)]
    result = replace(
        settings,
        prompt=_tidy(words["prompt"]),
        negative=_tidy(words["negative"]),
        seed=seed,
        steps=steps,
        guidance=_number(values.get("guidance"), 0.0, 30.0),
        size=(int(wide), int(high)) if wide is not None and high is not None else None,
        model=_text(values.get("model"), MAX_NAME),
        sampler=_text(values.get("sampler"), MAX_NAME),
        loras=_checked_loras([*loras, *tagged]),
        strength=strength if strength and strength < 1 else None,
        is_from_picture=bool(strength and strength < 1),
    )
    return result if result.prompt or result.seed is not None else None


def _checked_loras(pairs: Sequence[tuple[object, object]]) -> Loras:
    weights: dict[str, float] = {}
    for name, weight in pairs:
        bare, number = bare_model_name(_text(name, MAX_NAME)), _number(weight, -2.0, 2.0)
        if bare and bare.casefold() != "none" and number is not None and len(weights) < _MAX_LORAS:
            weights.setdefault(bare, number)
    return tuple(weights.items())


def bare_model_name(name: str) -> str:
    """Return the name of a model's file without its folders and its suffix."""
    return re.sub(r"\.(safetensors|ckpt|pt|pth|gguf|bin|sft)$", "", re.split(r"[/\\]", name)[-1], flags=re.IGNORECASE).strip()


def _tidy(words: str) -> str:
    """Return the words of a prompt without empty places left by tags, on at most ``MAX_WORDS`` characters."""
    tidied = re.sub(r"[ \t]{2,}", " ", re.sub(r"(,\s*){2,}", ", ", words))
    return tidied.strip(" ,\n\t")[:MAX_WORDS]


def _text(value: object, limit: int) -> str:
    """Return a text without control characters, cut to ``limit`` characters; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value[:limit] if character.isprintable() or character in "\n\t").strip()


def _number(value: object, low: float, high: float) -> float | None:
    """Return a number from ``low`` to ``high``; None for anything else."""
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and low <= number <= high else None


def _whole(value: object, low: int, high: int) -> int | None:
    """Return a whole number from ``low`` to ``high``; None for anything else."""
    if isinstance(value, str):
        value = int(value) if re.fullmatch(r"\d{1,20}", value.strip()) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and isinstance(value, int) and low <= value <= high else None
