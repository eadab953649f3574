"""The reference the server carries: OpenAPI, a page to read, every error code."""
