"""For whoever writes a kind: the suite that every kind passes, and what it hands in. It needs pytest."""
