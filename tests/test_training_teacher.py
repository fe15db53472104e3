"""Learning from a larger span scorer: the loss by hand, and a pupil that comes to think what its teacher thinks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retriever.encoder.loading import load_reader_model
from retriever.encoder.reading import Window
from retriever.encoder.tokenizer import Tokenizer
from retriever.errors import SpanseekError
from retriever.evaluation import GradedQuestion
from retriever.training.batches import Item, Mixture
from retriever.training.examples import hold_back
from retriever.training.loop import TrainingConfig
from retriever.training.reader import ReaderTask, train_reader
from retriever.training.teacher import Distillation, Teacher, divergence, learning_loss, same_pieces
from retriever.types import TextSpan

NEVER = float("-inf")
CPU = torch.device("cpu")


def softmax(scores: list[float]) -> np.ndarray:
    powers = np.exp(np.array(scores))
    return powers / powers.sum()


def test_the_divergence_by_hand() -> None:
    # two items of four tokens; the second token is the question's
    pupil = torch.tensor([[1.0, 2.0], [NEVER, NEVER], [0.0, 1.0], [3.0, 0.5]]).repeat(2, 1, 1)
    teacher = torch.tensor([[2.0, 0.0], [NEVER, NEVER], [1.0, 1.0], [0.0, 4.0]]).repeat(2, 1, 1)
    teacher[1] = pupil[1]  # of one mind
    expected = 0.0
    for own, other in (([1.0, 0.0, 3.0], [2.0, 1.0, 0.0]), ([2.0, 1.0, 0.5], [0.0, 1.0, 4.0])):
        p, q = softmax([x / 2 for x in other]), softmax([x / 2 for x in own])
        expected += float((p * np.log(p / q)).sum()) * 4 / 2
    assert float(divergence(pupil, teacher, 2.0)) == pytest.approx(expected, rel=1e-5)
    scores = pupil.clone().requires_grad_()
    divergence(scores, teacher, 1.0).backward()
    assert scores.grad is not None
    # as of a cross-entropy: what is given less what is wanted, halved; nothing where no answer can be
    gradient = (softmax([1.0, 0.0, 3.0]) - softmax([2.0, 1.0, 0.0])) / 2
    np.testing.assert_allclose(scores.grad[0, [0, 2, 3], 0], gradient, atol=1e-6)
    assert scores.grad[0, 1].tolist() == [0.0, 0.0]
    assert scores.grad[1].abs().max() < 1e-6


def test_the_loss_is_shared_between_what_is_right_and_the_teacher() -> None:
    pupil, teacher = torch.randn(2, 5, 2), torch.randn(2, 5, 2)
    targets = torch.tensor([[1, 2], [0, 0]])
    alone = learning_loss(pupil, targets, None, Distillation())
    assert float(alone) == pytest.approx(
        sum(
            float(nn.functional.cross_entropy(pupil[:, :, i], targets[:, i], reduction="sum")) for i in (0, 1)
        )
        / 2
    )
    taught = learning_loss(pupil, targets, teacher, Distillation(weight=0.25, temperature=3.0))
    assert float(taught) == pytest.approx(0.75 * float(alone) + 0.25 * float(divergence(pupil, teacher, 3.0)))


@pytest.fixture(scope="module")
def turned(
    tmp_path_factory: pytest.TempPathFactory,
    write_encoder: Callable[..., Path],
    write_reader: Callable[..., Path],
) -> Path:
    """A span scorer whose encoder knows the same pieces of words in another order."""
    encoder = write_encoder(tmp_path_factory.mktemp("turned") / "encoder", seed=3)
    vocabulary = encoder / "vocab.txt"
    words = vocabulary.read_text(encoding="utf-8").splitlines()
    vocabulary.write_text("\n".join([*words[:5], *words[:4:-1]]) + "\n", encoding="utf-8")
    return write_reader(encoder.parent / "reader", encoder, seed=4)


def test_pieces_of_words_are_known_by_what_they_are(tiny_encoder_folder: Path, turned: Path) -> None:
    own = Tokenizer.from_folder(tiny_encoder_folder)
    other = Tokenizer.from_folder(load_reader_model(str(turned))[1].folder)
    pieces = same_pieces(own, other, "turned")
    text = "where is the snow sensor on the mountain"
    mine, theirs = own.ids([text])[0], other.ids([text])[0]
    assert mine.tolist() != theirs.tolist()
    assert pieces[torch.from_numpy(mine)].tolist() == theirs.tolist()
    for special in ("before", "after"):
        asked, known = getattr(own.special, special), getattr(other.special, special)
        assert pieces[list(asked)].tolist() == list(known)


def test_a_teacher_of_other_words_is_refused(
    tiny_encoder_folder: Path,
    tmp_path: Path,
    write_encoder: Callable[..., Path],
    write_reader: Callable[..., Path],
) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    vocabulary = encoder / "vocab.txt"
    vocabulary.write_text(vocabulary.read_text(encoding="utf-8").replace("o", "ø"), encoding="utf-8")
    reader = write_reader(tmp_path / "reader", encoder)
    with pytest.raises(SpanseekError, match="cuts words into other pieces: it knows"):
        Teacher.load(str(reader), Tokenizer.from_folder(tiny_encoder_folder), CPU, bfloat16=False)


def test_a_teacher_sees_its_own_numbers_of_the_same_words(tiny_encoder_folder: Path, turned: Path) -> None:
    own = Tokenizer.from_folder(tiny_encoder_folder)
    teacher = Teacher.load(str(turned), own, CPU, bfloat16=False)
    model, files, _ = load_reader_model(str(turned))
    rows: list[Tensor] = []
    for tokenizer in (own, Tokenizer.from_folder(files.folder)):
        question, passage = tokenizer.ids(["where is the dog", "the dog sat in paris"])
        first, last = tokenizer.special.before[0], tokenizer.special.after[-1]
        rows.append(torch.tensor([[first, *question, last, *passage, last]]))
    mask = torch.ones_like(rows[0], dtype=torch.bool)
    segments = (torch.arange(rows[0].shape[1]) >= 6).long()[None]
    with torch.inference_mode():
        expected = model(rows[1], mask, segments)
    torch.testing.assert_close(teacher.logits(rows[0], mask, segments), expected)
    assert not teacher.logits(rows[0], mask, segments).requires_grad


def test_a_pupil_comes_to_think_what_its_teacher_thinks(
    tiny_reader_folder: Path, tiny_encoder_folder: Path, turned: Path
) -> None:
    pupil = load_reader_model(str(tiny_reader_folder))[0]
    pupil.freeze_embeddings()
    own = Tokenizer.from_folder(tiny_encoder_folder)
    teacher = Teacher.load(str(turned), own, CPU, bfloat16=False)
    ids = np.random.default_rng(0).integers(5, 40, (8, 16))
    items = [Item(Window(row, 5, 0), 7, 7) for row in ids]
    task = ReaderTask(
        pupil,
        None,  # type: ignore[arg-type]
        [],
        TrainingConfig(batch_tokens=200),
        padding=0,
        bfloat16=False,
        teacher=teacher,
        distillation=Distillation(weight=1.0, temperature=1.0),
    )
    optimizer = torch.optim.Adam([p for p in pupil.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(120):
        losses.append(float(task.accumulate(items)[0]))
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] / 10, (losses[0], losses[-1])
    assert all(p.grad is None for p in teacher._model.parameters())


def question(number: int, title: str) -> GradedQuestion:
    text = "the dog sat in paris"
    return GradedQuestion(
        str(number), "where is the dog", text, title, (TextSpan(15, 20, "paris"),), ("paris",)
    )


def test_documents_can_be_set_apart() -> None:
    questions = [question(i, f"title {i}") for i in range(40)]
    before = hold_back(questions, 0.2)
    assert not all(before)
    apart = hold_back(questions, 0.2, ["title 3", "title 4", "no such"])
    assert [i for i in range(40) if apart[i]] == [i for i in range(40) if before[i] or i in (3, 4)]


def test_training_with_a_teacher(tiny_reader_folder: Path, turned: Path, tmp_path: Path) -> None:
    """At weight one, the teacher alone decides: what is right doesn't."""
    questions = [question(i, f"title {i}") for i in range(12)]
    heads = []
    for weight, name in ((1.0, "a"), (0.0, "b")):
        train_reader(
            questions,
            tmp_path / name,
            start=str(tiny_reader_folder),
            teacher=str(turned),
            distillation=Distillation(weight=weight),
            apart=["title 1"],
            config=TrainingConfig(
                epochs=2.0, batch_tokens=200, batches_per_step=1, learning_rate=1e-2, warmup_steps=1
            ),
            mixture=Mixture(hard=0.0, changed=0.0, removed=0.0, keywords=0.0, rows=0.0, title=0.0),
            device="cpu",
            report=lambda line: None,
        )
        heads.append(load_reader_model(str(tmp_path / name))[0].head.linear.weight)
    assert (heads[0] - heads[1]).abs().max() > 1e-3
