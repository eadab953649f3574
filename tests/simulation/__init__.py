"""Whole lives of batches on a held clock, with seeded trouble."""
