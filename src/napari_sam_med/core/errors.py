"""Errors whose text is meant for the user.

Every message is one or two plain sentences: what went wrong, what was expected, what was found, what to do.
Front ends show ``str(error)`` and nothing else; they never show a traceback for these.
"""

from __future__ import annotations


class SamMedError(Exception):
    """Base of all errors that carry a sentence for the user."""


class InputError(SamMedError):
    """A file, folder or argument given by the user cannot be used."""


class GridMismatchError(InputError):
    """Two volumes that must share a voxel grid do not."""


class OutputError(SamMedError):
    """A result could not be written, or what was read back differs from what was written."""


class ModelError(SamMedError):
    """A model cannot be loaded or does not understand a prompt."""


class Cancelled(SamMedError):
    """The user asked for the work to stop."""
