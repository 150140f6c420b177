"""What is decided, and the records that it is decided on. Pure: nothing here reaches the world."""
