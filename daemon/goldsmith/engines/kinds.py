"""The table of the kinds of engine.

It defines the values of ``kind`` in models.toml, the lists under ``[defaults]``, the phrases in messages about missing models, the
protocols that the loader checks, and the engines that a step can ask for.
"""

from __future__ import annotations

from typing import Any

from goldsmith.engines.protocols import ControlNet, EngineKind, Generator, Inpainter, ReferenceAdapter, Upscaler
from goldsmith.engines.vision import (
    FaceDetector,
    FaceEmbedder,
    FaceLandmarker,
    FaceSwapper,
    HandLandmarker,
    MatteEstimator,
    TextReader,
)

# A model of kind ``generate`` is also an inpainter if it can fill holes, start from a picture or edit.
INPAINTER = EngineKind("inpaint", Inpainter, "inpainting")
MATTE_ESTIMATOR = EngineKind("matte", MatteEstimator, "finding the subject")
FACE_DETECTOR = EngineKind("faces", FaceDetector, "finding faces")
FACE_LANDMARKER = EngineKind("mesh", FaceLandmarker, "meshing faces")
FACE_EMBEDDER = EngineKind("identity", FaceEmbedder, "telling faces apart")
HAND_LANDMARKER = EngineKind("hands", HandLandmarker, "finding hands")
TEXT_READER = EngineKind("reader", TextReader, "reading text")
UPSCALER = EngineKind("upscale", Upscaler, "enlarging")
GENERATOR = EngineKind("generate", Generator, "generating pictures")
# A model that follows a control picture loads one of these beside its own weights.
CONTROL_NET = EngineKind("control", ControlNet, "control pictures")
# A model that follows reference pictures with a strength loads one of these beside its own weights.
REFERENCE_ADAPTER = EngineKind("reference", ReferenceAdapter, "reference pictures with a strength")
# A brief must name the model that swaps a person's face.
FACE_SWAPPER = EngineKind("swap", FaceSwapper, "swapping faces", has_defaults=False)

ENGINE_KINDS: dict[str, EngineKind[Any]] = {
    kind.name: kind
    for kind in (
        INPAINTER,
        MATTE_ESTIMATOR,
        FACE_DETECTOR,
        FACE_LANDMARKER,
        FACE_EMBEDDER,
        HAND_LANDMARKER,
        TEXT_READER,
        UPSCALER,
        GENERATOR,
        CONTROL_NET,
        REFERENCE_ADAPTER,
        FACE_SWAPPER,
    )
}
