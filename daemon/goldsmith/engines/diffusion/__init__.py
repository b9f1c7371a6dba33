"""Generating models, run by diffusers.

- ``families``: which pipeline class a family needs for each ability, and the arguments of its call
- ``diffusers_tree``: check a folder before anything is loaded from it
- ``pipeline_loader``: load pipelines that share one set of weights from a folder or a single file
- ``memory_layout``: how a model is laid out in the free memory, and the fallbacks if that is not enough
- ``loaded_model``: a model in memory, on its device
- ``pipeline_inputs``: pictures, holes and words in the forms that pipelines take
- ``loras``: small changes of a model's weights for one request
- ``determinism``: make the same seed give the same bytes
- ``picture_checks``: detect failed pictures: NaN, black, flat
- ``diffusion_engine``: the engine: requests in, pictures and facts out
"""
