"""Windows of any plan: every move once, every shard released once, after its last use and never read again."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from hubbot.checkpoints import Repo, TensorInfo
from hubbot.moves import Move, Packed, Part
from hubbot.plans import Layout, Plan
from hubbot.windows import peak_shard_bytes, windows_of

FIXED = settings(max_examples=100, deadline=None, derandomize=True, database=None)
LAYOUT = Layout(
    row="per_expert", naming="", stacking="", order=None, orientation="out,in", packing="none", num_experts=2,
    experts_per_token=1, moe_layers=(0,), layers=1, evidence=(),
)  # fmt: skip


def plan_of(moves: list[Move], packed: list[Packed]) -> Plan:
    return Plan(
        source=Repo(id="a/b", revision="0" * 40), layout=LAYOUT, config={}, origins=(), moves=tuple(moves),
        drops=(), packed=tuple(packed), variants=(), disk_bytes=0, memory_bytes=0, versions={},
    )  # fmt: skip


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, dict[str, TensorInfo]]:
    """A plan whose moves read plain or packed tensors, some of them shared, that lie in any shard."""
    shards = [f"model-{number}.safetensors" for number in range(draw(st.integers(1, 6)))]

    def stored(name: str) -> TensorInfo:
        size = draw(st.integers(1, 200))
        return TensorInfo(
            name=name, dtype="U8", shape=(size,), shard=draw(st.sampled_from(shards)), start=8, end=8 + size
        )

    names = [f"t{number}" for number in range(draw(st.integers(1, 12)))]
    tensors: dict[str, TensorInfo] = {}
    packed = []
    for name in names:
        parts = [f"{name}.codes", f"{name}.scale"] if draw(st.booleans()) else [name]
        tensors |= {part: stored(part) for part in parts}
        if len(parts) > 1:
            held = {part.rpartition(".")[2]: Part(tensor=part, rows=1) for part in parts}
            packed.append(Packed(name=name, packing="fp8", shape=tensors[parts[0]].shape, parts=held))
    moves = []
    for number in range(draw(st.integers(1, 10))):
        sources = tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)))
        move = Move(
            output=f"o{number}", shape=(1,), role="expert", sources=sources, stacked=len(sources) > 1,
            quantizable=True,
        )  # fmt: skip
        moves.append(move)
    return plan_of(moves, packed), tensors


def shards_read(move: Move, plan: Plan, tensors: dict[str, TensorInfo]) -> set[str]:
    parts = {packed.name: [part.tensor for part in packed.parts.values()] for packed in plan.packed}
    return {tensors[stored].shard for source in move.sources for stored in parts.get(source, [source])}


@FIXED
@given(planned=plans(), limit=st.integers(1, 1000))
def test_every_move_is_made_once_and_every_shard_is_released_once_after_its_last_use(
    planned: tuple[Plan, dict[str, TensorInfo]], limit: int
) -> None:
    plan, tensors = planned
    windows = windows_of(plan, tensors, limit)
    made = Counter(move.output for window in windows for move in window.moves)
    assert made == Counter(move.output for move in plan.moves)
    released: list[str] = []
    for window in windows:
        read = {shard for move in window.moves for shard in shards_read(move, plan, tensors)}
        assert set(window.shards) == read
        assert not read & set(released)
        later = [move for other in windows[window.number + 1 :] for move in other.moves]
        still = {shard for move in later for shard in shards_read(move, plan, tensors)}
        assert set(window.released) == read - still
        released += window.released
    assert sorted(released) == sorted({shard for move in plan.moves for shard in shards_read(move, plan, tensors)})


@FIXED
@given(planned=plans(), limit=st.integers(1, 1000))
def test_the_most_that_lies_on_disk_at_once_is_what_following_the_windows_gives(
    planned: tuple[Plan, dict[str, TensorInfo]], limit: int
) -> None:
    plan, tensors = planned
    windows = windows_of(plan, tensors, limit)
    sizes = {info.shard: 10 + number for number, info in enumerate(tensors.values())}
    here: set[str] = set()
    most = 0
    for window in windows:
        here |= set(window.shards)
        most = max(most, sum(sizes[shard] for shard in here))
        here -= set(window.released)
    assert here == set()
    assert peak_shard_bytes(windows, sizes) == most
