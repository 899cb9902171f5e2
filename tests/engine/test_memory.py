import subprocess
import sys

from hubbot.engine.memory import peak_resident_bytes

GROW = """
from hubbot.engine.memory import peak_resident_bytes
before = peak_resident_bytes()
block = bytearray(100 << 20)
block[::4096] = b"x" * len(block[::4096])
print(peak_resident_bytes() - before)
"""


def test_the_peak_grows_with_what_is_touched() -> None:
    done = subprocess.run([sys.executable, "-c", GROW], check=True, capture_output=True, text=True)
    assert 90 << 20 < int(done.stdout) < 130 << 20


def test_a_child_does_not_report_what_its_parent_had() -> None:
    block = bytearray(300 << 20)
    block[::4096] = b"x" * len(block[::4096])
    code = "from hubbot.engine.memory import peak_resident_bytes; print(peak_resident_bytes())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 200 << 20
    assert peak_resident_bytes() > 300 << 20
