"""The tamper-evident log: C2SP tlog-tiles, signed checkpoints, receipts, and the writer that feeds them."""
