"""Which nodes of a graph are drawn in one box: each its own, or a large graph's layers.

A layer begins where a weight comes in, and goes on as long as nothing but biases joins it. Layers
that follow each other and are alike become one box. What is still too much is cut off at the far
end, into a box that says how much it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from .graphs import Graph, freed, parents
from .notation import is_activation
from .tape import Node

#: Up to so many nodes, each has a box of its own; up to so many layers, each has.
SEPARATE = 40
#: No picture has more boxes.
MOST = 60


@dataclass(eq=False)
class Box:
    """Nodes drawn as one, the newest last; `inputs` are the boxes that they read, with repeats.

    `kind` is "operation", "leaf", "layer" or "earlier", which stands for `count` nodes that are
    not shown; `owner`, the layer's name, if it is known; `times`, how many layers it stands for;
    `active`, has it an activation?
    """

    kind: str
    nodes: list[Node] = field(default_factory=list)
    leaves: list[Node] = field(default_factory=list)
    inputs: list[Box] = field(default_factory=list)
    owner: str = ""
    times: int = 1
    count: int = 0
    active: bool = False

    @property
    def moment(self) -> int:
        """That of its newest node."""
        return self.nodes[-1].moment if self.nodes else 0


def fold(graph: Graph) -> list[Box]:
    """The boxes for a graph, each after its inputs."""
    owners = {tensor._node: name.rpartition(".")[0] for name, tensor in graph.names if "." in name}
    if len(graph.nodes) + graph.earlier <= SEPARATE:
        home = {node: Box("operation" if node.plan else "leaf", [node]) for node in graph.nodes}
        return _linked(graph, list(home.values()), home, repeats=True)
    home = _layers(graph, owners)
    boxes = _linked(graph, _unique(home), home)
    if len(boxes) > SEPARATE:
        home = _runs(boxes, home)
        boxes = _linked(graph, _unique(home), home)
    return boxes if len(boxes) <= MOST else _cut(boxes)


def _unique(home: dict[Node, Box]) -> list[Box]:
    return list(dict.fromkeys(home.values()))


def _layers(graph: Graph, owners: dict[Node | None, str]) -> dict[Node, Box]:
    """The layer of every computed node.

    What a layer reads is settled by its first node (nodes that read leaves alone apart): those
    that join it read it, and perhaps, as the sum in a residual block, what its first node read. So
    a layer reads only layers that began before it, and never do they depend on each other in a
    circle.
    """
    known = set(graph.nodes)
    users = _users(graph)
    feeding = _feeding(graph)
    home: dict[Node, Box] = {}
    reads: dict[Box, set[Box]] = {}  # the layers that a layer reads
    sources: dict[Node, list[Node]] = {}  # nodes that read leaves alone, with these
    for node in graph.nodes:
        if node.plan is None:
            continue
        every = list(parents(node))
        given = [each for _, each in every if each in known]
        leaves = [each for each in given if each.plan is None]
        if len(leaves) == len(every) and len(users[node]) == 1 and not freed(node):
            sources[node] = leaves
            continue
        joined = [each for each in dict.fromkeys(given) if each in sources]
        below = list(dict.fromkeys(home[each] for each in given if each in home))
        fitting = (each for each in below[::-1] if set(below) <= {each} | reads[each])
        box = next(fitting, None)
        reached = leaves + [leaf for each in joined for leaf in sources[each]]
        owner = next((owners[each] for each in reached if each in owners), "")
        weighted = any(len(each.shape) >= 2 for each in leaves if each not in owners)
        done = box is not None and node not in feeding and box.active
        if box is None or weighted or done or (owner and owner != box.owner):
            box = Box("layer", owner=owner)
            reads[box] = set(below)
        for each in [*joined, node]:
            box.nodes.append(each)
            home[each] = box
            sources.pop(each, None)
        box.active |= is_activation(node)
    for box in set(home.values()):
        box.nodes.sort(key=lambda node: node.moment)
    return home


def _feeding(graph: Graph) -> set[Node]:
    """The nodes from which a product with a weight is computed: what follows is the loss."""
    found: set[Node] = set()
    for node in reversed(graph.nodes):
        given = [each for _, each in parents(node)]
        if node in found or any(each.plan is None and len(each.shape) >= 2 for each in given):
            found.update(given)
    return found


def _users(graph: Graph) -> dict[Node, set[Node]]:
    users: dict[Node, set[Node]] = {node: set() for node in graph.nodes}
    for node in graph.nodes:
        for _, parent in parents(node):
            if parent in users:
                users[parent].add(node)
    return users


def _linked(
    graph: Graph, boxes: list[Box], home: dict[Node, Box], repeats: bool = False
) -> list[Box]:
    """The boxes with their inputs, and with boxes for leaves that several of them read."""
    users = _users(graph)
    known = set(graph.nodes)
    for node in graph.nodes:
        if node.plan is None and node not in home:
            reading = {home[each] for each in users[node]}
            if len(reading) == 1:
                next(iter(reading)).leaves.append(node)
            else:
                home[node] = Box("leaf", [node])
                boxes.append(home[node])
    earlier = Box("earlier", count=graph.earlier)
    for box in boxes:
        found: list[Box] = []
        for node in box.nodes:
            for _, parent in parents(node):
                if parent not in known:
                    found.append(earlier)
                elif parent in home and home[parent] is not box:
                    found.append(home[parent])
        box.inputs = found if repeats else list(dict.fromkeys(found))
    return _sorted([*([earlier] if graph.earlier else []), *boxes])


def _sorted(boxes: list[Box]) -> list[Box]:
    """The boxes, each after its inputs, otherwise the older first."""
    readers: dict[int, list[Box]] = {id(box): [] for box in boxes}
    missing = {}
    for box in boxes:
        given = set(map(id, box.inputs))
        missing[id(box)] = len(given)
        for each in given:
            readers[each].append(box)
    heap = [(box.moment, i, box) for i, box in enumerate(boxes) if not missing[id(box)]]
    heapify(heap)
    number, found = len(boxes), []
    while heap:
        box = heappop(heap)[2]
        found.append(box)
        for reader in readers[id(box)]:
            missing[id(reader)] -= 1
            if not missing[id(reader)]:
                number += 1
                heappush(heap, (reader.moment, number, reader))
    return found


def _runs(boxes: list[Box], home: dict[Node, Box]) -> dict[Node, Box]:
    """The boxes of nodes, with layers that follow each other and are alike put together."""
    readers: dict[int, list[Box]] = {id(box): [] for box in boxes}
    for box in boxes:
        for each in box.inputs:
            readers[id(each)].append(box)
    merged: dict[int, Box] = {}
    for box in boxes:
        computed = [each for each in box.inputs if each.kind == "layer"]
        before = computed[0] if len(computed) == 1 else None
        if (
            box.kind == "layer"
            and before is not None
            and all(each.kind in ("layer", "leaf") for each in box.inputs)
            and len(readers[id(before)]) == 1
            and _alike(box, before)
        ):
            run = merged[id(before)]
            run.nodes += box.nodes
            run.times += 1
            merged[id(box)] = run
        else:
            merged[id(box)] = Box(box.kind, list(box.nodes), owner=box.owner)
    found = {node: merged[id(box)] for node, box in home.items() if box.kind == "layer"}
    for box in set(found.values()):
        box.nodes.sort(key=lambda node: node.moment)
        box.owner = box.owner if box.times == 1 else ""
    return found


def _alike(first: Box, second: Box) -> bool:
    """Do two layers consist of the same operations?"""
    names = [[node.record.name for node in box.nodes if node.record] for box in (first, second)]
    return names[0] == names[1]


def _cut(boxes: list[Box]) -> list[Box]:
    """The newest of the boxes, and one for all others; they come after what they depend on."""
    gone, kept = boxes[: len(boxes) - MOST + 1], boxes[len(boxes) - MOST + 1 :]
    earlier = Box(
        "earlier", count=sum(len(box.nodes) + len(box.leaves) + box.count for box in gone)
    )
    away = set(map(id, gone))
    for box in kept:
        given = [earlier if id(each) in away else each for each in box.inputs]
        box.inputs = list(dict.fromkeys(given))
    return [earlier, *kept]
