"""Verifies a whole log without using any Civicloom code: `python verify.py FOLDER|URL VKEY`."""

import base64
import pathlib
import sys
import urllib.request
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MOST_BYTES = 256 * (2 + 65535)  # a bundle: as many entries, each behind its length in two bytes


def read(path):
    if "://" not in log:
        return pathlib.Path(log, path).read_bytes()
    with urllib.request.urlopen(f"{log}/{path}", timeout=30) as file:  # noqa: S310  (the caller names the log)
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        sys.exit(f"{path} has more than {MOST_BYTES} bytes: no file of a log has")
    return data


if len(sys.argv) != 3:
    print("usage: python verify.py FOLDER|URL VKEY", file=sys.stderr)  # noqa: T201
    sys.exit(2)
log, vkey = sys.argv[1].rstrip("/"), sys.argv[2]
name, key_id, key = vkey.split("+", 2)
text, _, lines = read("checkpoint").decode().rpartition("\n\n")
signatures = {line.split(" ")[1]: base64.b64decode(line.split(" ")[2]) for line in lines.splitlines()}
if signatures[name][:4].hex() != key_id:
    sys.exit("the checkpoint is signed by another key")
Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:]).verify(
    signatures[name][4:], f"{text}\n".encode()
)
origin, size, root = text.split("\n")
peaks = []  # the perfect subtrees so far, as (number of leaves, hash)
for first in range(0, int(size), 256):  # a bundle holds 256 entries, each behind its length in two bytes
    *groups, last = f"{first // 256:,}".split(",")
    width = min(256, int(size) - first)
    path = "/".join(["tile/entries", *(f"x{group:0>3}" for group in groups), f"{last:0>3}"])
    try:
        data = read(path if width == 256 else f"{path}.p/{width}")
    except OSError:  # the log has grown meanwhile: the bundle is full now, and begins with these entries
        data = read(path)
    for _ in range(width):
        end = 2 + int.from_bytes(data[:2], "big")
        count, node, data = 1, sha256(b"\0" + data[2:end]).digest(), data[end:]
        while peaks and peaks[-1][0] == count:
            count, node = count * 2, sha256(b"\1" + peaks.pop()[1] + node).digest()
        peaks.append((count, node))
node = peaks.pop()[1] if peaks else sha256().digest()
while peaks:
    node = sha256(b"\1" + peaks.pop()[1] + node).digest()
if node != base64.b64decode(root):
    sys.exit("the entries are not those that the checkpoint signs")
print(f"{origin}: all {size} entries stand under the signed checkpoint")  # noqa: T201
