"""Read a picture's settings from the graph that ComfyUI keeps in it: the nodes that its sampler leads back to.

The graph is a stranger's: it may have circles, dead ends and nodes of any kind. Each search visits a node once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

# Graphs with more nodes than this are not read. Large workflows have a few hundred.
_MAX_NODES = 5000
_SEED_INPUTS = ("noise_seed", "seed")
# Inputs in which nodes of prompts keep their words, the usual ones first.
_TEXT_INPUTS = ("text", "text_g", "text_l", "clip_l", "t5xxl", "prompt", "positive", "value", "string")
_MODEL_INPUTS = ("ckpt_name", "unet_name", "model_name")
# A node that removes all words from what it gets.
_EMPTY_CONDITIONING = "ConditioningZeroOut"

_Inputs = Mapping[str, object]


class _Node(NamedTuple):
    kind: str
    inputs: _Inputs


def read_graph(graph: Mapping[str, object]) -> dict[str, object]:
    """Return the raw settings of the graph's main sampler: prompt, negative, seed, steps, guidance, strength, model, loras and size.

    ``graph`` is the parsed text "prompt" of a PNG, nodes by their ids. Settings that are missing are left out; without a sampler, all are.
    """
    nodes = dict(_nodes(graph)) if len(graph) <= _MAX_NODES else {}
    sampler = _main_sampler(nodes)
    if sampler is None:
        return {}
    settings: dict[str, object] = {
        "prompt": _words(nodes, sampler, ("positive", "conditioning")),
        "negative": _words(nodes, sampler, ("negative",)),
        "seed": _first_value(nodes, sampler, _SEED_INPUTS),
        "steps": _first_value(nodes, sampler, ("steps",)),
        "guidance": _guidance(nodes, sampler),
        "strength": _first_value(nodes, sampler, ("denoise",)),
        "model": _first_value(nodes, sampler, _MODEL_INPUTS),
        "sampler": _first_value(nodes, sampler, ("sampler_name",)),
        "loras": list(_loras(nodes, sampler)),
        "width": None,
        "height": None,
    }
    size = _latent_size(nodes, sampler)
    if size is not None:
        settings["width"], settings["height"] = size
    return {name: value for name, value in settings.items() if value not in (None, "", [])}


def _nodes(graph: Mapping[str, object]) -> Iterator[tuple[str, _Node]]:
    for name, node in graph.items():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        if isinstance(node, Mapping) and isinstance(inputs, Mapping):
            yield name, _Node(str(node.get("class_type", "")), inputs)


def _main_sampler(nodes: Mapping[str, _Node]) -> str | None:
    """Return the id of the sampler that draws the picture: of several, the first one that starts from an empty latent."""
    samplers = [name for name, node in nodes.items() if "sampler" in node.kind.casefold() and "latent_image" in node.inputs]
    starts = [name for name in samplers if _latent_size(nodes, name) is not None]
    return next(iter(starts or samplers), None)


def _link(nodes: Mapping[str, _Node], value: object) -> str | None:
    """Return the id of the node that an input leads to; None if it is no link to a node."""
    is_link = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2 and isinstance(value[0], str | int)
    name = str(value[0]) if is_link and isinstance(value, Sequence) else ""
    return name if name in nodes else None


def _walk(nodes: Mapping[str, _Node], start: str, follow: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[str, _Node]]:
    """Yield the node and those that it leads back to, the nearest first, each once; ``follow`` tells which inputs are followed."""
    pending, visited = deque([start]), {start}
    while pending:
        name = pending.popleft()
        node = nodes[name]
        yield name, node
        for input_name, value in node.inputs.items():
            linked = _link(nodes, value) if follow(input_name) else None
            if linked is not None and linked not in visited:
                visited.add(linked)
                pending.append(linked)


def _first_value(nodes: Mapping[str, _Node], start: str, names: Sequence[str]) -> object | None:
    """Return the nearest value of an input with one of these names; a link in its place is followed to the node that holds the value."""
    for _, node in _walk(nodes, start):
        for name in names:
            value = node.inputs.get(name)
            linked = _link(nodes, value)
            if linked is not None:
                value = _single_value(nodes, linked)
            if value is not None and not isinstance(value, Mapping | list):
                return value
    return None


def _single_value(nodes: Mapping[str, _Node], name: str) -> object | None:
    """Return the only number or text in the inputs of a node, as primitive nodes have it; None if there are several."""
    values = [value for value in nodes[name].inputs.values() if isinstance(value, str | int | float) and not isinstance(value, bool)]
    return values[0] if len(values) == 1 else None


def _guidance(nodes: Mapping[str, _Node], sampler: str) -> object | None:
    """Return how closely the model followed the prompt. Flux has a node of its own for it, and 1 in the sampler."""
    own = next((node.inputs.get("guidance") for _, node in _walk(nodes, sampler) if node.kind == "FluxGuidance"), None)
    return own if isinstance(own, int | float) else _first_value(nodes, sampler, ("cfg",))


def _words(nodes: Mapping[str, _Node], sampler: str, inputs: Sequence[str]) -> str:
    """Return the words behind the nearest of these inputs."""
    for _, node in _walk(nodes, sampler, lambda name: name in ("guider", *inputs)):
        linked = next((linked for name in inputs if (linked := _link(nodes, node.inputs.get(name))) is not None), None)
        if linked is not None:
            return _text_behind(nodes, linked)
    return ""


def _text_behind(nodes: Mapping[str, _Node], start: str) -> str:
    """Return the words of the nearest node that has some, in the order of the usual inputs."""
    for _, node in _walk(nodes, start, lambda name: name not in ("model", "clip", "vae", "control_net", "image", "pixels")):
        if node.kind == _EMPTY_CONDITIONING:
            return ""
        text = next((value for name in _TEXT_INPUTS if isinstance(value := node.inputs.get(name), str) and value.strip()), "")
        if text:
            return text
    return ""


def _loras(nodes: Mapping[str, _Node], sampler: str) -> Iterator[tuple[object, object]]:
    """Yield (file, weight) of each LoRA between the model and the sampler."""
    for _, node in _walk(nodes, sampler):
        if isinstance(node.inputs.get("lora_name"), str):
            yield node.inputs["lora_name"], node.inputs.get("strength_model", 1.0)


def _latent_size(nodes: Mapping[str, _Node], sampler: str) -> tuple[int, int] | None:
    """Return the size of the empty latent from which a sampler starts; None if it starts from a picture."""
    linked = _link(nodes, nodes[sampler].inputs.get("latent_image"))
    if linked is None or "empty" not in nodes[linked].kind.casefold():
        return None
    sizes = [nodes[linked].inputs.get(name) for name in ("width", "height")]
    values = [_single_value(nodes, name) if (name := _link(nodes, size)) is not None else size for size in sizes]
    wide, high = (value if isinstance(value, int) else 0 for value in values)
    return (wide, high) if wide > 0 and high > 0 else None
