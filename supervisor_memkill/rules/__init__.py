"""The rules: which worker is drained, and how its drain proceeds. Pure: no input, no output, no clock."""
