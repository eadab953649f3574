"""Engines as the operator names them: specs taken apart, looked for, and made."""
