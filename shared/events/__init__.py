"""Encodes events as bytes and decodes them, by the contract."""
