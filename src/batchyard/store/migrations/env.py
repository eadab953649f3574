"""What Alembic runs: the steps, on the connection and in the transaction it was handed."""

from __future__ import annotations

import logging

from alembic import context

from batchyard.store.catalog.tables import metadata

# Alembic tells of every step at level info; a user who starts a server did not ask for that.
logging.getLogger("alembic").setLevel(logging.WARNING)
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
