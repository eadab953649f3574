"""The official SDKs, several generations of them, against one live server."""
