// Stacks for fibers, each below a page that cannot be touched; kept for the next launch.
#pragma once
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

class Stacks {
    std::vector<char*> unused;
    size_t made = 0;

public:
    static constexpr size_t size = 128 * 1024, colours = 4096;

    char* take() {
        if (unused.empty()) {
            const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
            int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
            flags |= MAP_NORESERVE;
#endif
            void* memory = mmap(nullptr, guard + size, PROT_READ | PROT_WRITE, flags, -1, 0);
            if (memory == MAP_FAILED) return nullptr;
            mprotect(memory, guard, PROT_NONE);
            // Tops at the same place in their pages would share a few lines of the cache among all threads.
            return (char*)memory + guard - made++ * 320 % colours;
        }
        char* stack = unused.back();
        unused.pop_back();
        return stack;
    }
    void give_back(char* stack) { unused.push_back(stack); }
};
