"""Text to vectors: the span encoder with its tokenizer, in batches that waste little, never truncating."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.encoder.backbone import DEFAULT_ENCODER, EncoderFiles, find_encoder
from retriever.encoder.runtime import Description, Precision, RuntimeName, Vectors, embedder
from retriever.encoder.tokenizer import tokenizer_of
from retriever.types import Passage


class TextEncoder:
    """Embeds passages and questions. Safe to share by threads.

    Args:
        files: From `find_encoder`.
        precision: `float32` is the reference. `int8`, in which only ONNX Runtime computes: most products of passages
            in 8 bits, 1.3 to 1.5 times as fast, at a cosine of 0.99 to 0.998; questions stay in float32. `bfloat16`, in which
            only torch computes, is about 2.5 times faster where the hardware computes in it, and differs by a cosine of
            less than 0.001. `auto`: `int8` with ONNX Runtime; with torch `bfloat16` on hardware that computes in it,
            else `float32`.
        device: A torch device; `None`: the GPU where there is one, else the CPU.
        runtime: `torch` or `onnx`; `auto`: ONNX Runtime on a CPU, where it is installed and the backbone is built as
            BERT is. It starts soonest, and in 8 bits embeds fastest, too.
    """

    def __init__(
        self,
        files: EncoderFiles,
        *,
        precision: Precision = "auto",
        device: str | None = None,
        runtime: RuntimeName = "auto",
    ) -> None:
        self.files = files
        self.tokenizer = tokenizer_of(files)
        self._model = embedder(files, precision=precision, device=device, runtime=runtime)
        special = self.tokenizer.special
        self._special = np.asarray(special.before), np.asarray(special.after)
        self._room = files.max_length - len(special.before) - len(special.after)

    @classmethod
    def load(
        cls,
        name: str = DEFAULT_ENCODER,
        *,
        precision: Precision = "auto",
        device: str | None = None,
        runtime: RuntimeName = "auto",
        fetch: bool = True,
    ) -> TextEncoder:
        """Finds an encoder by name and loads it.

        Args:
            name: As in `find_encoder`.
            precision: What to compute in.
            device: Where; by default a GPU if there is one.
            runtime: With what; by default what starts soonest here.
            fetch: As in `find_encoder`.

        Raises:
            EncoderError: It can't be found or loaded.
        """
        files = find_encoder(name, fetch=fetch)
        return cls(files, precision=precision, device=device, runtime=runtime)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all that decides what vectors come out."""
        return self.files.fingerprint

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.computes.dimension

    @property
    def precision(self) -> str:
        """What it computes passages in: `float32`, `bfloat16` or `int8`."""
        return self.computes.precision

    @property
    def computes(self) -> Description:
        """What computes it, and in which numbers."""
        return self._model.description

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The place of each token in the text, half-open, in code points."""
        return self.tokenizer.spans(text)

    def encode_passages(self, passages: Sequence[Passage], *, context_tokens: int = 40) -> Vectors:
        """Embeds passages, each after its context.

        Args:
            passages: Texts of any length. What is longer than one pass sees is embedded in windows and averaged.
            context_tokens: At most this many tokens of the context are taken.

        Returns:
            `(N, C)` float32, each row of length 1, in the order of `passages`.
        """
        prompt = self.files.passage_prompt
        contexts = self.tokenizer.ids([passage.context for passage in passages])
        texts = self.tokenizer.ids([prompt + passage.text for passage in passages])
        pairs = zip(contexts, texts, strict=True)
        ids = [np.concatenate([context[:context_tokens], text]) for context, text in pairs]
        return self._encode(ids, bulk=True)

    def encode_questions(self, questions: Sequence[str], *, narrow: bool = False) -> Vectors:
        """Embeds questions: `(N, C)` float32, each row of length 1.

        Args:
            questions: `N` of them.
            narrow: On one processor, where others have work for the rest; only ONNX Runtime heeds it.
        """
        ids = self.tokenizer.ids([self.files.query_prompt + question for question in questions])
        return self._encode(ids, narrow=narrow)

    def _encode(
        self, texts: Sequence[NDArray[np.int64]], *, bulk: bool = False, narrow: bool = False
    ) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        windows = [(i, ids) for i, text in enumerate(texts) for ids in self._windows(text)]
        if not windows:
            return vectors
        pooled = self._model.embed([ids for _, ids in windows], bulk=bulk, narrow=narrow)  # (B, C)
        for (i, ids), vector in zip(windows, pooled, strict=True):
            vectors[i] += len(ids) * vector
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        normalised: Vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        return normalised

    def _windows(self, ids: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """A text's tokens in as few passes as it needs, of about equal length, special tokens around each."""
        before, after = self._special
        passes = max(1, -(-len(ids) // self._room))
        parts = np.array_split(ids, passes)
        return [np.concatenate([before, part, after]).astype(np.int64) for part in parts]
