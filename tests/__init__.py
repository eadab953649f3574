"""The tests of Batchyard: one folder per room, plus real processes in live and crash."""
