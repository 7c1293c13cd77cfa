"""What a case waits for, in words for operators."""

_EXPECTED = {
    "intake": "inquiry's word that the case exists",
    "dispatch": "routing's dispatch or triage",
    "delivery": "delivery of the offer to {party}",
    "answer": "inquiry's answer to the reply",
    "contact": "the address that the citizen left",
}


def expected(kind: str, party: str | None) -> str:
    """What an expectation of this kind waits for, to follow "waits for"."""
    return _EXPECTED[kind].format(party=party)
