"""Models behind small protocols. Callers read an engine's descriptor to learn what it can do; its name does not matter.

Only this package imports torch, diffusers, onnxruntime and cv2.dnn, and it imports them late: reading descriptors stays cheap, and the
scanner and the command line stay small.
"""
