"""Everything that can be wrong with a replay store, by name."""

from porl_ros import errors

__all__ = [
    "ContractMismatch",
    "CorruptSegment",
    "DamagedStore",
    "InvalidName",
    "MemoryBudgetError",
    "NewerFormat",
    "NotYetWhole",
    "RecordingStopped",
    "RemoteNotInstalled",
    "ReplayError",
    "RunExists",
    "RowsGone",
    "RunLocked",
    "StoreFormatError",
    "StoreMissing",
    "StoreNotWritable",
    "StoreUnreachable",
    "WriterClosed",
]


class ReplayError(errors.PorlError):
    """Base of all errors of the replay room."""


class InvalidName(ReplayError, ValueError):
    """A robot or run name that may not become a folder name."""


class StoreFormatError(ReplayError):
    """The folder is not a replay store, or its description cannot be trusted."""


class StoreMissing(StoreFormatError):
    """There is no store at this path (yet)."""


class NewerFormat(StoreFormatError):
    """The store was written by a newer release."""


class StoreNotWritable(ReplayError):
    """The store's folder cannot be created or written."""


class StoreUnreachable(ReplayError):
    """The store cannot be read for now: no network, or too many open files. Nothing is lost."""


class RemoteNotInstalled(ReplayError):
    """Reading from this kind of URL needs a package that is not installed."""


class ContractMismatch(ReplayError, errors.ContractMismatch):
    """The store holds data of another robot contract."""


class RunLocked(ReplayError):
    """Another writer holds this run."""


class RowsGone(ReplayError):
    """Rows that a learner had before are not in the store any more, or are others."""


class RunExists(ReplayError):
    """The run was recorded before; a run lives in one writer and is never appended to."""


class CorruptSegment(ReplayError):
    """A sealed segment is incomplete or its contents do not match its checksum."""


class NotYetWhole(ReplayError):
    """A segment of a remote store is there only in part: it may still be uploaded."""


class MemoryBudgetError(ReplayError):
    """A learner's memory does not fit its budget, and there is no place on disk for the rest."""


class DamagedStore(ReplayError):
    """Something in the store does not stand up to a check, and this needs a sound one."""


class RecordingStopped(ReplayError):
    """The disk failed, so rows are no longer recorded."""


class WriterClosed(ReplayError):
    """The writer was closed before this call."""
