"""The notices: events, and the sinks that take them (the log, the pool's stream)."""
