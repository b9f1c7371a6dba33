"""A model in memory: its pipelines, laid out on a device, and how that is changed when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from goldsmith.engines import Device, Store
from goldsmith.engines.diffusion.families import Family, Way
from goldsmith.engines.diffusion.layout import Layout, Offload
from goldsmith.engines.diffusion.loading import Pipes, load, scheduler_facts
from goldsmith.engines.diffusion.loras import Loras
from goldsmith.engines.diffusion.tree import looked_through
from goldsmith.engines.memory import dead, give_back, is_dead, is_shortage
from goldsmith.engines.registry.models import Diffusion
from goldsmith.errors import Problem

_TILE = 512
"""px; the side of a decoder's tiles."""

Plan = Callable[[float], Layout]
"""From the largest part's share of the weights to how the model is laid out in the memory that is free now."""


class Mounted:
    """A loaded model. ``offload`` may become "group" while it lives: what did not fit once will not fit the next time."""

    def __init__(self, name: str, store: Store, diffusion: Diffusion, family: Family, device: Device, plan: Plan) -> None:
        """Raises Problem for a model that cannot be opened or does not fit, DeviceFault where the device fails."""
        tree = looked_through(name, store.folder, variant=diffusion.variant, single=store.single)
        self.layout = plan(tree.largest)
        self.offload: Offload = self.layout.offload
        self._device = device
        try:
            self._pipes: Pipes = load(name, store, diffusion, family, self.layout.precision, tree)
            self._lay_out()
        except Exception as error:
            if is_shortage(error):
                give_back(device)
                raise Problem(
                    f"There is not enough memory on {device.name} to load the model {name!r}.",
                    "Name a smaller model, or end what else takes the memory: goldsmith doctor shows what fits.",
                ) from error
            if is_dead(error):
                raise dead(device, error) from error
            raise
        self.loras = Loras(name, self._base)
        self._scheduler = type(self._base.scheduler), self._base.scheduler.config

    @property
    def _base(self) -> Any:
        return self._pipes.base

    def pipe(self, way: Way, *, tiled: bool) -> Any:
        """The pipeline that does this, with a scheduler that remembers nothing of the last call."""
        pipe = self._pipes.pipe(way)
        kind, config = self._scheduler
        pipe.scheduler = kind.from_config(config)
        _switch(pipe.vae, on=tiled)
        return pipe

    def at_rest(self, *, freed: bool = False) -> None:
        """After a call: parts go back to where they wait. ``freed``: give back what the call held, too."""
        _switch(self._base.vae, on=False)
        self._base.maybe_free_model_hooks()
        if freed:
            give_back(self._device)

    def group(self) -> None:
        """Lay the weights out block by block, for good."""
        if self.offload == "group":
            return
        self._base.remove_all_hooks()
        self._base.to("cpu")
        give_back(self._device)
        self._by_groups()
        self.offload = "group"

    def facts(self) -> Mapping[str, object]:
        return {**scheduler_facts(self._base.scheduler), "precision": self.layout.precision, "offload": self.offload}

    def _lay_out(self) -> None:
        import torch

        if self.offload == "model":
            self._base.enable_model_cpu_offload(device=torch.device(self._device.name))
        elif self.offload == "group":
            self._by_groups()
        else:
            self._base.to(torch.device(self._device.name))

    def _by_groups(self) -> None:
        import torch

        on = torch.device(self._device.name)
        streams = {"use_stream": True, "low_cpu_mem_usage": True} if on.type == "cuda" else {}
        self._base.enable_group_offload(onload_device=on, offload_device=torch.device("cpu"), offload_type="leaf_level", **streams)


def has_tiling(vae: Any) -> bool:
    return hasattr(vae, "enable_tiling")


def _switch(vae: Any, *, on: bool) -> None:
    """The decoder's tiling and slicing; some decoders have only one of them.

    An AutoencoderKL's tiles are as large as the pictures it was made with, so that at its native size there would be but one.
    """
    if on and hasattr(vae, "tile_latent_min_size"):
        vae.tile_sample_min_size = min(vae.tile_sample_min_size, _TILE)
        vae.tile_latent_min_size = vae.tile_sample_min_size // 2 ** (len(vae.config.block_out_channels) - 1)
    for what in ("tiling", "slicing"):
        switch = getattr(vae, f"{'enable' if on else 'disable'}_{what}", None)
        if switch is not None:
            switch()
