"""The kinds of workers: one file per kind, and the contract that each one keeps."""
