"""What is computed when tiles are read: ideal chips, and chips that are not."""
