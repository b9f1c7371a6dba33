"""Property tests draw the same examples in every run, so that a commit that was green stays green; another profile looks further:
``HYPOTHESIS_PROFILE=explore make tests``.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
