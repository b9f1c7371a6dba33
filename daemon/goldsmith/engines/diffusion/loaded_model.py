"""A model in memory: its pipelines on a device, and the change of its layout if memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from goldsmith.engines.diffusion.control import check_net_reads_holes, load_net
from goldsmith.engines.diffusion.diffusers_tree import inspect_tree
from goldsmith.engines.diffusion.families import ModelFamily, PipelineCall
from goldsmith.engines.diffusion.loras import LoraAdapters
from goldsmith.engines.diffusion.memory_layout import MemoryLayout, Offload
from goldsmith.engines.diffusion.pipeline_inputs import PipelineArguments
from goldsmith.engines.diffusion.pipeline_loader import PipelineSet, load_pipelines, make_scheduler
from goldsmith.engines.diffusion.reference_adapter import ImageEncoder, attached_adapter
from goldsmith.engines.memory import device_fault, is_device_failure, is_out_of_memory, release_memory
from goldsmith.engines.protocols import ControlNet, Device, ModelFiles, ReferenceAdapter, ReferenceGuide
from goldsmith.engines.registry.family_additions import additions_family
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.engines.registry.scheduler_settings import SchedulerEntry
from goldsmith.errors import InputError

# Maximum side of a decoder's tiles, in px.
_MAX_TILE = 512

# Returns the layout for the memory that is free now; the argument is the largest part's share of the weights.
PlanLayout = Callable[[float], MemoryLayout]


class LoadedModel:
    """A loaded model. ``offload`` changes to "group" when memory runs out, and stays so for later calls."""

    def __init__(
        self, name: str, model_files: ModelFiles, diffusion: DiffusionSettings, family: ModelFamily, device: Device, plan_layout: PlanLayout
    ) -> None:
        """Load the model. Raises InputError if it cannot be opened or does not fit, DeviceError if the device fails."""
        self._device = device
        try:
            with model_files.unchanged():
                tree = inspect_tree(name, model_files.folder, variant=diffusion.variant, single=model_files.single_file)
                self.parts_in_file = tree.in_file
                self.layout = plan_layout(tree.largest_share)
                self.offload: Offload = self.layout.offload
                self._pipelines: PipelineSet = load_pipelines(name, model_files, diffusion, family, self.layout.precision, tree)
                # Within the block, because weights that are mapped into memory are read from the files only now.
                self._apply_layout()
        except Exception as error:
            if is_out_of_memory(error):
                release_memory(device)
                raise InputError(
                    f"There is not enough memory on {device.name} to load the model {name!r}.",
                    "Name a smaller model, or end other programs that use the memory; goldsmith doctor shows which models fit.",
                ) from error
            if is_device_failure(error):
                raise device_fault(device, error) from error
            raise
        self.loras = LoraAdapters(name, self.base)
        self._family_name = diffusion.family
        # The control model that was used last, and its weights in memory.
        self._control_net: tuple[ControlNet, Any] | None = None
        # The reference adapter that was used last, and its image encoder in memory.
        self._encoder: tuple[ReferenceAdapter, ImageEncoder] | None = None
        self._scheduler = type(self.base.scheduler), self.base.scheduler.config

    @property
    def base(self) -> Any:
        """The pipeline that was loaded; the others share its parts."""
        return self._pipelines.base

    def pipeline(
        self, call: PipelineCall, net: ControlNet | None = None, scheduler: SchedulerEntry | None = None, *, use_tiling: bool
    ) -> Any:
        """Return the pipeline for this call, with a new scheduler: no state remains from the last call.

        net:       the control model that it needs.
        scheduler: the scheduler in place of the model's own.

        Raises InputError if the control model or the scheduler cannot be opened.
        """
        control_net = None if net is None else self._load_control_net(net)
        if net is not None:
            check_net_reads_holes(call, control_net, self.base, net)
        pipe = self._pipelines.get(call, control_net)
        kind, config = self._scheduler
        pipe.scheduler = kind.from_config(config) if scheduler is None else make_scheduler(config, scheduler)
        _set_vae_tiling(pipe.vae, on=use_tiling)
        return pipe

    def _load_control_net(self, net: ControlNet) -> Any:
        """Return the control model on the device; only the last one stays loaded."""
        import torch

        if self._control_net is None or self._control_net[0] is not net:
            self._control_net = None
            release_memory(self._device)
            self._control_net = net, load_net(net, self._family_name, self.layout.precision).to(torch.device(self._device.name))
        return self._control_net[1]

    def attached_references(self, pipe: Any, guide: ReferenceGuide) -> AbstractContextManager[PipelineArguments]:
        """Return a block in which a pipeline follows reference pictures; it yields the arguments for them.

        The image encoder of the last adapter stays loaded. Raises InputError if the adapter cannot be opened or does not fit.
        """
        family = additions_family(self._family_name)
        if self._encoder is None or self._encoder[0] is not guide.adapter:
            self._encoder = None
            release_memory(self._device)
            self._encoder = guide.adapter, ImageEncoder(guide.adapter, family, self.layout.precision, self._device.name)
        return attached_adapter(pipe, self._encoder[1], guide, family, self._device.name if self.offload == "group" else "")

    def finish_call(self, *, release: bool = False) -> None:
        """Move offloaded parts back to main memory after a call. ``release``: also release unused memory on the device."""
        _set_vae_tiling(self.base.vae, on=False)
        self.base.maybe_free_model_hooks()
        if release:
            release_memory(self._device)

    def switch_to_group_offload(self) -> None:
        """Offload the weights block by block, for this call and all later ones."""
        if self.offload == "group":
            return
        self.base.remove_all_hooks()
        self.base.to("cpu")
        release_memory(self._device)
        self._enable_group_offload()
        self.offload = "group"

    def facts(self) -> Mapping[str, object]:
        """Return the facts about precision, offload and a single file, for the record."""
        in_file = {"parts_in_file": sorted(self.parts_in_file)} if self.parts_in_file else {}
        return {"precision": self.layout.precision, "offload": self.offload, **in_file}

    def weights_bytes(self, precision: str) -> int:
        """Return the bytes of all weights if they are in that precision, such as "bfloat16"; whole numbers keep their size."""
        import torch

        size = getattr(torch, precision).itemsize
        sizes = {
            id(tensor): tensor.numel() * (size if tensor.is_floating_point() else tensor.itemsize)
            for part in self.base.components.values()
            if isinstance(part, torch.nn.Module)
            for tensor in (*part.parameters(), *part.buffers())
        }
        return sum(sizes.values())

    def find_broken_weights(self) -> str:
        """Return the first tensor of the weights with a value that is not a number, as "part: tensor"; "" if there is none."""
        import torch

        for part, module in self.base.components.items():
            if hasattr(module, "named_parameters"):
                for name, tensor in module.named_parameters():
                    if not tensor.is_meta and not bool(torch.isfinite(tensor).all()):
                        return f"{part}: {name}"
        return ""

    def _apply_layout(self) -> None:
        import torch

        if self.offload == "model":
            self.base.enable_model_cpu_offload(device=torch.device(self._device.name))
        elif self.offload == "group":
            self._enable_group_offload()
        else:
            self.base.to(torch.device(self._device.name))

    def _enable_group_offload(self) -> None:
        import torch

        on = torch.device(self._device.name)
        streams = {"use_stream": True, "low_cpu_mem_usage": True} if on.type == "cuda" else {}
        self.base.enable_group_offload(onload_device=on, offload_device=torch.device("cpu"), offload_type="leaf_level", **streams)


def has_tiling(vae: Any) -> bool:
    """Return whether the decoder can work in tiles."""
    return hasattr(vae, "enable_tiling")


def _set_vae_tiling(vae: Any, *, on: bool) -> None:
    """Switch the decoder's tiling and slicing on or off; some decoders have only one of them.

    The default tile of an AutoencoderKL has the size it was trained with, so without the limit, a
    picture of the native size would be a single tile.
    """
    if on and hasattr(vae, "tile_latent_min_size"):
        vae.tile_sample_min_size = min(vae.tile_sample_min_size, _MAX_TILE)
        vae.tile_latent_min_size = vae.tile_sample_min_size // 2 ** (len(vae.config.block_out_channels) - 1)
    for feature in ("tiling", "slicing"):
        switch = getattr(vae, f"{'enable' if on else 'disable'}_{feature}", None)
        if switch is not None:
            switch()
