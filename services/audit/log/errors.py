"""Errors of a log.

LogError
├── Malformed      bytes that are not a note, checkpoint, tile, bundle, entry or proof
├── NotProven      well-formed, but the hashes or the signature do not agree
└── LogBroken      the writer found its own log in a state in which it must not sign
    └── LogRefused (services.audit.log.continuity) a partition is not the one that was logged
"""

from shared.errors import CivicloomError


class LogError(CivicloomError):
    """Something is wrong with the log or with a claim about it."""


class Malformed(LogError):
    """The bytes do not have the form that their specification gives them."""


class NotProven(LogError):
    """The form is right, but a signature, an inclusion or a consistency does not hold."""


class LogBroken(LogError):
    """Signing now would sign a fork or a corrupted tree; needs an operator."""
