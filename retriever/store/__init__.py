"""What is on disk, how does it get there, and what does a reader see of it?

`layout.py` names every file of an index folder, `schema.py` its tables, `manifest.py` its settings. `writer.py` is the
one writer (`lock.py`), `reader.py` gives consistent snapshots to any number of readers. `vectors.py` is the FAISS side
with its `generations.py`, `lexical.py` and `analysis.py` the tantivy side. `verify.py` checks all of it.

Useful for keeping documents, passages and vectors, and for asking either side for candidates.
Not for ranking: that is `retriever.search`.
"""
