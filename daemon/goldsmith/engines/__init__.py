"""Models behind small protocols. Callers read an engine's descriptor to learn what it can do; its name does not matter.

Only this package imports torch, diffusers, onnxruntime, huggingface_hub and cv2.dnn, and it imports them late: reading descriptors stays
cheap, and the scanner and the command line stay small.
"""

import os

# Each library reads its switch when it is imported, which only this package does. The telemetry of onnxruntime is on by default: its
# import alone writes a device id and a database of events into the cache folder, for a server of its maker.
_TELEMETRY_SWITCHES = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")

os.environ.update(dict.fromkeys(_TELEMETRY_SWITCHES, "1"))
