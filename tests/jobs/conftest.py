from tests.store.conftest import clock, engine, queue, results

__all__ = ["clock", "engine", "queue", "results"]
