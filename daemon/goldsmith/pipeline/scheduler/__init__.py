"""The scheduler: decides which job starts next and handles every result."""
