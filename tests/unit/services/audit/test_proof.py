"""Receipts: the form of the file, and what it proves."""

import base64

import pytest

from services.audit.log.checkpoint import Checkpoint
from services.audit.log.entry import commitment, encode_entry
from services.audit.log.errors import LogError, Malformed, NotProven
from services.audit.log.note import Signer
from services.audit.log.proof import Proof, parse_proof
from shared.merkle import leaf_hash, node_hash

ONE, TWO = (base64.b64encode(bytes([i]) * 32).decode() for i in (1, 2))
VALUE = b'{"salt":"x"}'
ENTRY = encode_entry({"v": 1, "kind": "event", "commitment": commitment(VALUE)})


@pytest.fixture
def receipt(signer: Signer) -> Proof:
    """The proof of the second of three entries."""
    left, right = leaf_hash(b"left"), leaf_hash(b"right")
    root = node_hash(node_hash(left, leaf_hash(ENTRY)), right)
    return Proof(1, (left, right), Checkpoint(signer.name, 3, root).sign(signer).encode(), ENTRY)


@pytest.mark.parametrize(
    ("proof", "text"),
    [
        (
            Proof(5, (bytes([1]) * 32, bytes([2]) * 32), b"test checkpoint\n"),
            f"c2sp.org/tlog-proof@v1\nindex 5\n{ONE}\n{TWO}\n\ntest checkpoint\n",
        ),
        (
            Proof(10, (bytes([1]) * 32,), b"checkpoint\n", b"extra"),
            f"c2sp.org/tlog-proof@v1\nextra ZXh0cmE=\nindex 10\n{ONE}\n\ncheckpoint\n",
        ),
        (Proof(0, (), b"checkpoint\n"), "c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n"),
    ],
)
def test_a_proof_file_has_the_specified_form(proof: Proof, text: str) -> None:
    assert proof.encode() == text.encode()
    assert parse_proof(text.encode()) == proof


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("wrong\nindex 0\n\ncheckpoint\n", "line 1 is not"),
        ("c2sp.org/tlog-proof@v1\nextra !!\nindex 0\n\ncheckpoint\n", "line 2: not base64"),
        ("c2sp.org/tlog-proof@v1\n\n\ncheckpoint\n", "line 2 is not the index"),
        ("c2sp.org/tlog-proof@v1\nindex x\n\ncheckpoint\n", "line 2 is not the index"),
        ("c2sp.org/tlog-proof@v1\nindex -5\n\ncheckpoint\n", "line 2 is not the index"),
        ("c2sp.org/tlog-proof@v1\nindex 05\n\ncheckpoint\n", "line 2 is not the index"),
        ("c2sp.org/tlog-proof@v1\nextra AA==\n\ncheckpoint\n", "line 3 is not the index"),
        ("c2sp.org/tlog-proof@v1\nindex 0\n!!\n\ncheckpoint\n", "line 3: not base64"),
        (f"c2sp.org/tlog-proof@v1\nindex 0\n{'A' * 88}\n\ncheckpoint\n", "not a list of at most 63 SHA-256"),
        ("c2sp.org/tlog-proof@v1\nindex 0\n" + f"{ONE}\n" * 64 + "\ncheckpoint\n", "at most 63"),
        ("c2sp.org/tlog-proof@v1\nindex 0\n", "no checkpoint follows"),
        ("c2sp.org/tlog-proof@v1\nindex 0\n\n", "no checkpoint follows"),
        ("c2sp.org/tlog-proof@v1\nindex 0é\n\ncheckpoint\n", "not ASCII"),
    ],
)
def test_a_malformed_proof_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(Malformed, match=complaint):
        parse_proof(text.encode())


def test_a_receipt_proves_its_event(receipt: Proof, signer: Signer) -> None:
    assert parse_proof(receipt.encode()).verify_event(VALUE, signer.verifier).size == 3


def test_a_receipt_with_any_bit_flipped_proves_nothing(receipt: Proof, signer: Signer) -> None:
    data = receipt.encode()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(LogError):
            parse_proof(bytes(flipped)).verify_event(VALUE, signer.verifier)


def test_a_receipt_does_not_prove_another_event(receipt: Proof, signer: Signer) -> None:
    with pytest.raises(NotProven, match="does not commit to this event"):
        receipt.verify_event(VALUE + b" ", signer.verifier)


def test_a_receipt_without_its_entry_cannot_stand_for_an_event(receipt: Proof, signer: Signer) -> None:
    bare = Proof(receipt.index, receipt.hashes, receipt.checkpoint)
    assert bare.verify(ENTRY, signer.verifier).size == 3
    with pytest.raises(Malformed, match="no entry"):
        bare.verify_event(VALUE, signer.verifier)
