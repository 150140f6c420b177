"""The kind for RQ 1.16 to 3.0."""
