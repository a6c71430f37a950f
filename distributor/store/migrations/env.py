"""How Alembic reaches the database: through the connection that `Database.upgrade` holds."""

from __future__ import annotations

from alembic import context

from distributor.store.schema import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables)
context.run_migrations()
