from tests.store.conftest import postgres_server

__all__ = ["postgres_server"]
