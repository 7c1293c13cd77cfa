"""What leaves the house: the ledger of deliveries, the lanes, and the workers between them."""
