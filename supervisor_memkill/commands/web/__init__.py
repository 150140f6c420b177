"""``supervisor-memkill serve``: status, history and suspects as a web page. Imported by it alone."""
