// Shadow memory: for every element of the arrays, and of shared memory, who touched it last.
//
// Two accesses to one place are in order if one thread made both, if a barrier of the block came between them, or if
// the lanes of a warp met in a __syncwarp between them (vector clocks tell: each lane counts its meetings and fences,
// and knows the counts of the others at the time it last heard of them). Otherwise they are in order, within a block and
// between blocks, only if one thread made its own known by a fence and an atomic, and the other has seen that atomic.
#pragma once
#include <stdint.h>
#include <sys/mman.h>

#include <vector>

namespace emulated {

struct Access {
    uint32_t block;  // counted in the order they run, from 1; 0: no access yet
    uint32_t epoch;  // barriers of the block before it
    uint32_t clock;  // meetings and fences of the lane before it
    uint32_t place;  // in the program: bytes from the start of its image
    uint16_t thread;
    uint16_t atomic;
};

struct Cell {
    Access write, reads[2];
};

// A piece of memory that kernels may touch.
struct Region {
    uintptr_t start, end;
    const char* name;  // as reports call it
    int element;       // reports count elements of 2^element bytes
    bool shared;       // of the block, or of all blocks
    bool in_bytes;     // a variable: reports count its bytes
    bool fresh;        // holds nothing yet: it is written before it is read, and all of it
    uintptr_t room_before, room_after;  // bytes beside it where an access does no harm
    int shift = 0;                      // a cell stands for 2^shift bytes
    Cell* cells = nullptr;

    size_t count() const { return ((end - start) >> shift) + 1; }
    uintptr_t index(uintptr_t address) const { return (address - start) >> element; }
    bool map(int wanted) {
        shift = wanted;
        int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
        flags |= MAP_NORESERVE;  // only pages that are touched take memory
#endif
        void* memory = mmap(nullptr, count() * sizeof(Cell), PROT_READ | PROT_WRITE, flags, -1, 0);
        cells = memory == MAP_FAILED ? nullptr : static_cast<Cell*>(memory);
        return cells != nullptr;
    }
    void unmap() {
        if (cells) munmap(cells, count() * sizeof(Cell));
        cells = nullptr;
    }
    bool holds_whole_cells(uintptr_t address, unsigned size) const {
        return (((address - start) | size) & ((uintptr_t(1) << shift) - 1)) == 0;
    }
    // Smaller cells, for an access to a part of one: what was known of it holds for its parts.
    void refine(uintptr_t address, unsigned size) {
        Region finer = *this;
        if (!finer.map(__builtin_ctzll((address - start) | size))) return;
        for (size_t i = 0; i < (end - start) >> finer.shift; ++i) finer.cells[i] = cells[i << finer.shift >> shift];
        unmap();
        *this = finer;
    }
};

}  // namespace emulated
