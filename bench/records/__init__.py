"""What was measured: records, the environment they were made in, and the files they lie in."""
