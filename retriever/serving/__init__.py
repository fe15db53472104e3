"""How does an index answer over HTTP, to programs and to people?

`server.py` runs it; `app.py` puts the routes together. A question goes through `security.py` (who may ask) and
`limits.py` (how much), waits in `batching.py` for the model, and comes back as `retriever/as_json.py` says.
`documents.py` gives texts and original files, `pictures.py` with `picture_worker.py` pages of PDFs, `metrics.py`
what a monitor asks for; `schemas.py` describes it all. `static/` is the page.

Useful for answering many people from one process that has the models loaded.
Not for one question: that is `retriever.Retriever`.
"""
