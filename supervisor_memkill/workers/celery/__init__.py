"""The kind for Celery 5.3 to 5.7."""
