"""An event listener for supervisord that drains and replaces job workers over their memory limit."""

__version__ = "0.1.0"
