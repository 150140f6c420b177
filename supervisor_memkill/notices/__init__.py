"""What is told, to whom: the log, and the words."""
