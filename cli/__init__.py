"""What does somebody type, and what do they read?

Each command parses its arguments, makes one call into `indexer` or `retriever`, and prints. Results go to standard
output, notices and progress to standard error. Nothing heavy is imported before a command runs, so that `--help` is
quick.

Useful for the terminal and for scripts (`--json`).
Not for use from Python: that is `retriever.Retriever` and `indexer.Indexer`.
"""
