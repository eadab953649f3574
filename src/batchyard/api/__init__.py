"""Who asks: the HTTP edge."""
