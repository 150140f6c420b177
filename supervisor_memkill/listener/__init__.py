"""The event listener: its turns, its drains, its journal."""
