"""The edges: supervisord, processes, the machine, Redis, commands."""
