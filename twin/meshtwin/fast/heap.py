"""A binary heap of integers in an array; the caller keeps its size."""

from typing import Any

from meshtwin.fast.jit import part

__all__ = ["pop", "push"]


@part
def push(heap: Any, size: Any, key: Any) -> Any:
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent] <= key:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = key
    return size + 1


@part
def pop(heap: Any, size: Any) -> Any:
    top = heap[0]
    size -= 1
    key = heap[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        # reckoned and not asked: which child is less can't be foreseen; `heap` has room beyond its size
        child += int(child + 1 < size) & int(heap[child + 1] < heap[child])
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key
    return top, size
