"""What runs next, and what happens when it fails."""
