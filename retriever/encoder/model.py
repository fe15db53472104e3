"""The span encoder: tokens, global self-attention, local self-attention, concatenation, linear, heads.

    E = token representations                      (B, T, C)   the backbone's embedding layer
    H = global self-attention over E               (B, T, C)   the backbone
    L = local self-attention over H, window +-W    (B, T, C)
    Z = H + [L ; E] W_o                            (B, T, C)   the span representation

`W_o` starts at zero, so that an untrained layer changes nothing: `Z = H` to the last bit, and whatever training
brings is measured against the backbone alone.

`B` batch, `T` tokens, `C` the backbone's hidden size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from retriever.encoder import packing
from retriever.encoder.attention import LocalSelfAttention
from retriever.encoder.packs import first_position
from retriever.encoder.settings import Pooling, SpanEncoderConfig

_LAYER = re.compile(r"encoder\.backbone\.(?:.+\.)?layers?\.(\d+)\.")


class SpanEncoder(nn.Module):
    """Token representations in context, and one vector for a text.

    Args:
        backbone: A transformers encoder that returns `hidden_states` when asked.
        config: What is added to it.
    """

    def __init__(self, backbone: nn.Module, config: SpanEncoderConfig) -> None:
        super().__init__()
        settings: Any = backbone.config
        size = int(settings.hidden_size)
        self.config = config
        self.hidden_size = size
        self.first_position = first_position(settings)
        self.backbone = backbone
        self.local = LocalSelfAttention(size, config.local_heads, config.window)
        parts = int(config.local) + int(config.concatenation)
        self.projection = nn.Linear(parts * size, size)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    @property
    def reads_packed(self) -> bool:
        """Whether `forward_packed` is there for this backbone, and the faster way: on a CPU it is."""
        attends = getattr(self.backbone.config, "_attn_implementation", "") == packing.PACKED_ATTENTION
        return attends and self.first_position is not None and self.projection.weight.device.type == "cpu"

    @property
    def is_trained(self) -> bool:
        """Whether the span layer does anything; while its projection is zero, it can be left out of the work."""
        return bool(self.projection.weight.any() or self.projection.bias.any())

    def forward(
        self, token_ids: Tensor, mask: Tensor, *, segments: Tensor | None = None, span_layer: bool = True
    ) -> Tensor:
        """Span representations.

        Args:
            token_ids: `(B, T)` integers.
            mask: `(B, T)` booleans, False for padding.
            segments: `(B, T)` integers, 0 for the question and 1 for the passage; `None` for a single text, and
                for backbones that know no segments.
            span_layer: False leaves out local attention, concatenation and projection, which is exact while
                they are untrained.

        Returns:
            `Z (B, T, C)`.
        """
        if span_layer:
            return self.add_span_layer(*self.contextualise(token_ids, mask, segments=segments), mask)
        contextual: Tensor = self._attend(token_ids, mask, segments, keep=False).last_hidden_state
        return contextual

    def forward_packed(
        self,
        token_ids: Tensor,
        lengths: Sequence[int],
        *,
        segments: Tensor | None = None,
        span_layer: bool = True,
    ) -> Tensor:
        """Span representations of texts that stand end to end; the same as `forward` gives for each, up to rounding.

        Args:
            token_ids: `(N,)` integers.
            lengths: Tokens of each text; they add up to `N`.
            segments: `(N,)`, as in `forward`.
            span_layer: As in `forward`.

        Returns:
            `Z (N, C)`.
        """
        count = len(token_ids)
        positions = packing.places(lengths, self.first_position or 0)
        filling = -count % packing.ROUND
        if filling:
            # A row of nothing: of every shape that it meets, torch keeps what it compiled for it.
            token_ids, positions = (nn.functional.pad(row, (0, filling)) for row in (token_ids, positions))
            segments = None if segments is None else nn.functional.pad(segments, (0, filling))
            lengths = [*lengths, filling]
        inputs = {} if segments is None else {"token_type_ids": segments[None]}
        output = self.backbone(
            input_ids=token_ids[None],
            position_ids=positions[None],
            output_hidden_states=span_layer,
            lengths=lengths,
            **inputs,
        )
        spans: Tensor = output.last_hidden_state  # (1, N, C)
        if span_layer:
            spans = self.add_span_layer(spans, output.hidden_states[0], packing.rows(lengths)[None])
        return spans[0, :count]

    def contextualise(
        self, token_ids: Tensor, mask: Tensor, *, segments: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The backbone's part: `H` and `E`, both `(B, T, C)`."""
        output = self._attend(token_ids, mask, segments, keep=True)
        return output.last_hidden_state, output.hidden_states[0]

    def add_span_layer(self, contextual: Tensor, tokens: Tensor, rows: Tensor) -> Tensor:
        """What is added to it: from `H` and `E`, both `(B, T, C)`, to `Z (B, T, C)`; for `rows` see local attention."""
        parts = []
        if self.config.local:
            parts.append(self.local(contextual, rows))  # L (B, T, C)
        if self.config.concatenation:
            parts.append(tokens)
        projected: Tensor = self.projection(torch.cat(parts, dim=-1))  # [L ; E] (B, T, 2C) -> (B, T, C)
        return contextual + projected

    def _attend(self, token_ids: Tensor, mask: Tensor, segments: Tensor | None, *, keep: bool) -> Any:
        """The backbone's output; with every layer's if they are to be kept."""
        # Attention without a mask is about twice as fast on a CPU, and without padding there is nothing to mask.
        padding = None if bool(mask.all()) else mask.long()
        inputs = {} if segments is None else {"token_type_ids": segments}
        return self.backbone(input_ids=token_ids, attention_mask=padding, output_hidden_states=keep, **inputs)

    def pool(self, spans: Tensor, mask: Tensor) -> Tensor:
        """One vector a text, of length 1, in float32 whatever came in.

        Args:
            spans: `Z (B, T, C)`.
            mask: `(B, T)` booleans.

        Returns:
            `(B, C)`.
        """
        return nn.functional.normalize(pool_tokens(spans, mask, self.config.pooling), dim=-1)


def pool_packed(spans: Tensor, lengths: Sequence[int], pooling: Pooling) -> Tensor:
    """What `SpanEncoder.pool` gives, for texts that stand end to end: `(N, C)` -> `(B, C)`."""
    texts = torch.split(spans.float(), list(lengths))
    if pooling == "cls":
        vectors = [text[0] for text in texts]
    else:
        vectors = [text.sum(dim=0) / max(1, len(text)) for text in texts]
    return nn.functional.normalize(torch.stack(vectors), dim=-1)


def pool_tokens(spans: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """`(B, T, C)` -> `(B, C)`, float32: the mean over real tokens, or the first token."""
    if pooling == "cls":
        return spans[:, 0].float()
    weights = mask.float()
    total = torch.einsum("btc,bt->bc", spans.float(), weights)
    return total / weights.sum(dim=1, keepdim=True).clamp(min=1.0)


class SpanHead(nn.Module):
    """Start, end and no-answer: linear and softmax over the tokens of `[question ; passage]`.

    As in Devlin et al., "BERT" (2019), section 4.3, the first token's start and end stand for 'no answer'.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 2)

    def forward(self, spans: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of each token as the answer's first and as its last.

        Args:
            spans: `Z (B, T, C)`.
            candidates: `(B, T)` booleans: the passage's tokens, and the first token for 'no answer'.

        Returns:
            Two of `(B, T)`; minus infinity where a token is no candidate.
        """
        start, end = self.logits(spans, candidates).log_softmax(dim=1).unbind(-1)
        return start, end

    def logits(self, spans: Tensor, candidates: Tensor) -> Tensor:
        """What `forward` takes the softmax of, float32 `(..., T, 2)`; minus infinity where a token is no candidate."""
        scores: Tensor = self.linear(spans).float()
        return scores.masked_fill(~candidates[..., None], float("-inf"))


class SpanReader(nn.Module):
    """A span encoder with the head that scores spans.

    Args:
        encoder: The span encoder.
        segments: Whether its backbone knows two segments.
    """

    def __init__(self, encoder: SpanEncoder, *, segments: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = SpanHead(encoder.hidden_size)
        self.segments = segments

    def forward(self, token_ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """`(B, T)` each -> logits of start and end, `(B, T, 2)`, minus infinity where no answer can be."""
        spans = self.encoder(token_ids, mask, segments=segments if self.segments else None)  # Z (B, T, C)
        candidates = (segments.bool() & mask).clone()  # (B, T)
        candidates.scatter_(1, mask.sum(dim=1, keepdim=True) - 1, False)  # the last token is special
        candidates[:, 0] = True  # 'no answer'
        return self.head.logits(spans, candidates)

    def forward_packed(self, token_ids: Tensor, lengths: Sequence[int], segments: Tensor) -> Tensor:
        """The same for pairs that stand end to end: `(N,)` each -> `(N, 2)`."""
        spans = self.encoder.forward_packed(
            token_ids, lengths, segments=segments if self.segments else None
        )  # Z (N, C)
        candidates = segments.bool()
        ends = torch.tensor(lengths).cumsum(0)
        candidates[ends - 1] = False  # the last token is special
        candidates[ends - torch.tensor(lengths)] = True  # 'no answer'
        return self.head.logits(spans, candidates)

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """All that is a span scorer's own: the backbone's embeddings are the encoder's, and it uses no pooler."""
        shared = ("encoder.backbone.embeddings.", "encoder.backbone.pooler.")
        return {name: p for name, p in self.named_parameters() if not name.startswith(shared)}

    def freeze_embeddings(self) -> None:
        """Leaves the backbone's embeddings as they are, and what a span scorer doesn't use."""
        own = self.own_parameters()
        for name, parameter in self.named_parameters():
            if name not in own:
                parameter.requires_grad_(False)

    def freeze_layers(self, trained: int) -> None:
        """Leaves all but the uppermost of the backbone's layers as they are.

        Args:
            trained: So many of the uppermost are to learn.
        """
        numbers = {name: int(found[1]) for name in self.own_parameters() if (found := _LAYER.match(name))}
        lowest = max(numbers.values(), default=-1) + 1 - trained
        for name, number in numbers.items():
            if number < lowest:
                self.get_parameter(name).requires_grad_(False)


class LabelHead(nn.Module):
    """A label for a whole text: linear and softmax over its pooled vector."""

    def __init__(self, hidden_size: int, labels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, labels)

    def forward(self, pooled: Tensor) -> Tensor:
        """`(B, C)` -> log-probabilities `(B, labels)`."""
        logits: Tensor = self.linear(pooled)
        return logits.float().log_softmax(dim=-1)


class ScoreHead(nn.Module):
    """A number for a whole text: a linear map of its pooled vector."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 1)

    def forward(self, pooled: Tensor) -> Tensor:
        """`(B, C)` -> `(B,)`."""
        score: Tensor = self.linear(pooled)
        return score.float().squeeze(-1)
