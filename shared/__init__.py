"""The code that all four services share: the event contract, the correctness core, policy and the web edge."""
