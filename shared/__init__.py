"""What all four services share: the event contract, the correctness core, policy, web and test helpers."""
