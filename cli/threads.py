"""How many threads libraries may start."""

from __future__ import annotations

import os
from importlib.util import find_spec


def one_thread_for_products() -> None:
    """Keeps numpy's products on the thread that asks for them; called before numpy is imported.

    Answering a question multiplies small matrices only, besides what ONNX Runtime does. Threads for that take 0.1 s of
    processor time to start, and where others want the processor, too, they are waited for. Where torch computes
    instead, it may be this very library that it multiplies with.
    """
    if find_spec("onnxruntime") is not None:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
