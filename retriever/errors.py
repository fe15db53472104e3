"""Errors that a user can act on: each message is one line that says what is wrong and what to do."""

REPAIR = ": run 'spanseek verify --repair'"
"""How the message of an index that is damaged ends."""


class SpanseekError(Exception):
    """Base of every error that this project raises on purpose. The command line prints it and exits with 2."""


class IndexNotFoundError(SpanseekError):
    """There is no index at the given place."""


class IndexFormatError(SpanseekError):
    """The index can't be used as it is: another format version, another encoder, or damaged files."""


class IndexOutdatedError(IndexFormatError):
    """The index was written by an earlier version; opened for writing, it is brought up to date."""


class IndexDamagedError(IndexFormatError):
    """A file of the index isn't what was written."""


class IndexAccessError(SpanseekError):
    """The index can't be read or written as things are: the disk is full, or permission is missing."""


class IndexLockedError(SpanseekError):
    """Another process is writing to the index."""


class EncoderError(SpanseekError):
    """The encoder can't be loaded, or isn't the one that it should be."""


class FilterError(SpanseekError):
    """A filter (`--where`, a path glob) isn't understood."""


class DatasetError(SpanseekError):
    """An evaluation set isn't in a layout that is understood."""


class UnreadableError(SpanseekError):
    """One file can't be read as a document. The message is the reason, without the path; the run goes on."""
