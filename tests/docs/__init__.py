"""The documentation is true: what it says is run, parsed, or compared with the code."""
