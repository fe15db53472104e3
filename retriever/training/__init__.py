"""How does the span encoder learn to read, and to say that there is no answer?

    own.py         questions about an index's documents: which passage answers
    written.py     documents and questions about them that lie in one file
    examples.py    graded questions as token ids; which of them are held back
    negatives.py   passages that the search ranks high, but that don't answer
    unanswerable.py  questions and passages changed so that nothing answers any more
    batches.py     an epoch: what is read, in which order, in batches of one length
    loop.py        steps, schedule, checkpoints; goes on where it was killed
    reader.py      trains the span scorer
    pairs.py       questions with a passage that answers and one that does not, in batches
    contrastive.py what vectors are trained for: the own passage nearest, the others further away
    encoder.py     trains the vectors of questions and passages

Useful for training the weights that ship, and for fine-tuning on one's own questions. Not for using them.
"""
