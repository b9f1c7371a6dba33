"""A model in memory: its pipelines, laid out on a device, and how that is changed when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from goldsmith.engines import Device, ModelFiles
from goldsmith.engines.diffusion.diffusers_tree import inspect_tree
from goldsmith.engines.diffusion.families import ModelFamily, PipelineCall
from goldsmith.engines.diffusion.loras import LoraAdapters
from goldsmith.engines.diffusion.memory_layout import MemoryLayout, Offload
from goldsmith.engines.diffusion.pipeline_loader import PipelineSet, load_pipelines, scheduler_facts
from goldsmith.engines.memory import device_fault, is_device_failure, is_out_of_memory, release_memory
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.errors import InputError

# px; the side of a decoder's tiles.
_MAX_TILE = 512

# From the largest part's share of the weights to how the model is laid out in the memory that is free now.
PlanLayout = Callable[[float], MemoryLayout]


class LoadedModel:
    """A loaded model. ``offload`` may become "group" while it lives: what did not fit once will not fit the next time."""

    def __init__(
        self, name: str, model_files: ModelFiles, diffusion: DiffusionSettings, family: ModelFamily, device: Device, plan_layout: PlanLayout
    ) -> None:
        """Raises InputError for a model that cannot be opened or does not fit, DeviceError where the device fails."""
        tree = inspect_tree(name, model_files.folder, variant=diffusion.variant, single=model_files.single_file)
        self.layout = plan_layout(tree.largest_share)
        self.offload: Offload = self.layout.offload
        self._device = device
        try:
            self._pipes: PipelineSet = load_pipelines(name, model_files, diffusion, family, self.layout.precision, tree)
            self._apply_layout()
        except Exception as error:
            if is_out_of_memory(error):
                release_memory(device)
                raise InputError(
                    f"There is not enough memory on {device.name} to load the model {name!r}.",
                    "Name a smaller model, or end what else takes the memory: goldsmith doctor shows what fits.",
                ) from error
            if is_device_failure(error):
                raise device_fault(device, error) from error
            raise
        self.loras = LoraAdapters(name, self._base)
        self._scheduler = type(self._base.scheduler), self._base.scheduler.config

    @property
    def _base(self) -> Any:
        return self._pipes.base

    def pipeline(self, call: PipelineCall, *, use_tiling: bool) -> Any:
        """The pipeline that does this, with a scheduler that remembers nothing of the last call."""
        pipe = self._pipes.get(call)
        kind, config = self._scheduler
        pipe.scheduler = kind.from_config(config)
        _set_vae_tiling(pipe.vae, on=use_tiling)
        return pipe

    def finish_call(self, *, release: bool = False) -> None:
        """After a call: parts go back to where they wait. ``freed``: give back what the call held, too."""
        _set_vae_tiling(self._base.vae, on=False)
        self._base.maybe_free_model_hooks()
        if release:
            release_memory(self._device)

    def switch_to_group_offload(self) -> None:
        """Lay the weights out block by block, for good."""
        if self.offload == "group":
            return
        self._base.remove_all_hooks()
        self._base.to("cpu")
        release_memory(self._device)
        self._enable_group_offload()
        self.offload = "group"

    def facts(self) -> Mapping[str, object]:
        return {**scheduler_facts(self._base.scheduler), "precision": self.layout.precision, "offload": self.offload}

    def _apply_layout(self) -> None:
        import torch

        if self.offload == "model":
            self._base.enable_model_cpu_offload(device=torch.device(self._device.name))
        elif self.offload == "group":
            self._enable_group_offload()
        else:
            self._base.to(torch.device(self._device.name))

    def _enable_group_offload(self) -> None:
        import torch

        on = torch.device(self._device.name)
        streams = {"use_stream": True, "low_cpu_mem_usage": True} if on.type == "cuda" else {}
        self._base.enable_group_offload(onload_device=on, offload_device=torch.device("cpu"), offload_type="leaf_level", **streams)


def has_tiling(vae: Any) -> bool:
    return hasattr(vae, "enable_tiling")


def _set_vae_tiling(vae: Any, *, on: bool) -> None:
    """The decoder's tiling and slicing; some decoders have only one of them.

    An AutoencoderKL's tiles are as large as the pictures it was made with, so that at its native size there would be but one.
    """
    if on and hasattr(vae, "tile_latent_min_size"):
        vae.tile_sample_min_size = min(vae.tile_sample_min_size, _MAX_TILE)
        vae.tile_latent_min_size = vae.tile_sample_min_size // 2 ** (len(vae.config.block_out_channels) - 1)
    for what in ("tiling", "slicing"):
        switch = getattr(vae, f"{'enable' if on else 'disable'}_{what}", None)
        if switch is not None:
            switch()
