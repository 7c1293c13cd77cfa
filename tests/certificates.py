"""Certificates for servers and clients of tests: self-signed, or signed by another one."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.clock import machine_now


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of the certificate and of its key."""

    file: Path
    key: Path


def self_signed(folder: Path, host: str, *, valid: dt.timedelta = dt.timedelta(hours=1)) -> Certificate:
    """Makes a certificate for a host name or an IP address; one with a negative `valid` has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = machine_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    kept = Certificate(folder / f"{host}.pem", folder / f"{host}.key")
    kept.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kept.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return kept


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
