"""Models that generate, run by diffusers: which pipeline does what, loading, the memory ladder, and the making of pictures.

``families``  which pipeline class a family needs for each ability, and what its call is given
``tree``      whether a folder is what it should be, before anything is loaded from it
``loading``   a folder or a single file -> pipelines that share one set of weights
``plan_layout``    how a model is laid out in the memory that is free, and the rungs of the ladder when that is not enough
``mounted``   a model in memory, on its device
``prepare_inputs``  pictures, holes and words in the forms that pipelines take
``loras``     small changes of a model's weights, put on for one request and taken off again
``deterministic``  what makes the same seed give the same bytes
``results``   pictures that are none: NaN, black, flat
``generating``  the engine: requests in, pictures and facts out
"""
