"""Events to bytes and back: the encoder and the decoder of the contract."""
