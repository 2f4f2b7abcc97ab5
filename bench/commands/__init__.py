"""The commands: each turns its options into one call, prints what comes back, and sets the exit status."""
