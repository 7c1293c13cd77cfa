"""What people and machines do over HTTP: load, decide, store, emit, in one transaction each."""
