from tests.checkpoints_on_disk import workshop

__all__ = ["workshop"]
