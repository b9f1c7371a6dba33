"""Run generating models with diffusers.

- ``families``: which pipeline class a family needs for each ability, and the arguments of its call
- ``diffusers_tree``: check a folder before anything is loaded from it
- ``single_file``: tell which parts of a model a single file has
- ``pipeline_loader``: load pipelines that share one set of weights from a folder or a single file
- ``memory_layout``: plan where a model is kept in the free memory, and the fallbacks if memory runs out
- ``loaded_model``: a model in memory, on its device
- ``pipeline_inputs``: pictures, holes and words in the forms that pipelines take
- ``prompt_weights``: read the weights in a prompt
- ``clip_prompts``: encode long and weighted prompts in chunks
- ``control``: the pipelines that follow a control picture
- ``embeddings``: words that were learned as vectors (textual inversions)
- ``loras``: apply LoRAs to a model for one request
- ``determinism``: make the same seed give the same bytes
- ``picture_checks``: detect failed pictures: NaN, black, flat
- ``diffusion_engine``: the engine: requests in, pictures and facts out
"""
