"""The configuration: its keys, its files, and those of supervisord."""
