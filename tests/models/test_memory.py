"""Out of memory is no failure: the same work in halves, and nothing else."""

import pytest
import torch

from gmbench.models.memory import Memory, ran_out

CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: 9")


def test_pieces_are_halved_until_they_fit() -> None:
    memory, tried = Memory(), []

    def work(pieces: list[slice]) -> list[int]:
        tried.append([rows.stop - rows.start for rows in pieces])
        if max(tried[-1]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [row for rows in pieces for row in range(10)[rows]]

    assert memory.fit(10, work) == list(range(10))
    assert tried == [[10], [5, 5], [3, 3, 3, 1]]
    assert memory.most == 3
    assert memory.fit(10, work) == list(range(10))
    assert tried[3:] == [[3, 3, 3, 1]]
    assert memory.fit(2, work) == [0, 1]
    assert tried[4:] == [[2]]


def test_nothing_is_cut_where_everything_fits() -> None:
    memory = Memory()
    assert memory.fit(10, list) == [slice(0, 10)]
    assert memory.fit(0, list) == [slice(0, 0)]
    assert memory.most is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (RuntimeError("OutOfMemoryError: CUDA out of memory, says a guest"), True),
        (CPU, True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_other_errors_are_passed_on(error: Exception, expected: bool) -> None:
    assert ran_out(error) is expected
    calls = []

    def work(pieces: list[slice]) -> None:
        calls.append(len(pieces))
        raise error

    with pytest.raises(type(error)):
        Memory().fit(4, work)
    assert len(calls) == (3 if expected else 1)  # 4, 2, 1 images; one that does not fit alone never will


def test_torch_says_so_in_these_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert ran_out(caught.value)
