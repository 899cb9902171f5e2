from tests.store.conftest import clock, database_url, engine, postgres_server, queue, results

__all__ = ["clock", "database_url", "engine", "postgres_server", "queue", "results"]
