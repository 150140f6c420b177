"""The kind for Sidekiq 4 to 8."""
