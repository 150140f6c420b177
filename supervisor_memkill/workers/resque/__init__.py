"""The kind for Resque 1.20 to 3.0."""
