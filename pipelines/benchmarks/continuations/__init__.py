"""What continuation.py is made of: passages and their statistics, the rivals, the pieces, the tables."""
