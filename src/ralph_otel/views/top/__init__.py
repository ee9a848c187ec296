"""`ralph-otel top`: the loops of this machine in a terminal, as they go on."""
