"""Errors of delivering.

DeliveryError
├── LaneDown         a lane works for no delivery: all wait, none counts an attempt
├── PrivateAddress   a webhook's host is not on the public internet
└── Unresolvable     a webhook's host has no address at the moment
"""

from shared.errors import CivicloomError


class DeliveryError(CivicloomError):
    """Something prevents a delivery."""


class LaneDown(DeliveryError):
    """The mail server cannot be reached or rejects all our mail: nothing was attempted."""


class PrivateAddress(DeliveryError):
    """The host is, or resolves to, an address that is not on the public internet."""


class Unresolvable(DeliveryError):
    """The host name has no address, at least not now."""
