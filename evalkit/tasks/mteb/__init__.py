"""mteb's tasks, as they are read: as our tasks, or scored by mteb's own evaluators over our vectors."""
