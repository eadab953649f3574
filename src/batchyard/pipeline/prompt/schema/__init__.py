"""The shape of an answer: written in short, as JSON Schema or as a class, and checked."""
