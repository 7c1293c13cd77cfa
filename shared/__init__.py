"""The code that all four services share: contracts, the correctness core, policy and the web edge."""
