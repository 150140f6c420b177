"""What the running listener costs, beside superlance's memmon on the same supervisord."""
