"""Errors of delivering.

DeliveryError
├── ForbiddenPort    a webhook's port is not one that is called on the public internet
├── LaneDown         a lane works for no delivery: all wait, none counts an attempt
├── PrivateAddress   a webhook's host is not on the public internet, or belongs to a cloud platform
└── Unresolvable     a webhook's host has no address at the moment
"""

from shared.errors import CivicloomError


class DeliveryError(CivicloomError):
    """Something prevents a delivery."""


class ForbiddenPort(DeliveryError):
    """The port is not 443 or 8443. Only a webhook that was accepted by an older release has such a one."""


class LaneDown(DeliveryError):
    """The mail server cannot be reached or rejects all our mail: nothing was attempted."""


class PrivateAddress(DeliveryError):
    """The host is, or resolves to, an address off the public internet, or a cloud platform's own."""


class Unresolvable(DeliveryError):
    """The host name has no address, at least not now."""
