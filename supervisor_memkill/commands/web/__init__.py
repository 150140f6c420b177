"""``supervisor-memkill serve``: the status and the history as one web page. Imported only by that command."""
