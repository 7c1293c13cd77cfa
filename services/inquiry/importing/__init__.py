"""Import of another system's records: read, translate by a mapping file, take in, report rejected rows."""
