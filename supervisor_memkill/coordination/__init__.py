"""Coordination: which worker may drain now. The contract, the rules, in process and through Redis."""
