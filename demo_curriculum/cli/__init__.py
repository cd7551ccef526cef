"""The commands, one module each: argument parsing and one call."""
