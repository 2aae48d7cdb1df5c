// CUDA C++ for a host compiler: put before a kernel's text, it gives the text a meaning on the CPU.
//
// A thread of CUDA is a fiber (scheduler.cpp); a block runs at a time, on one core. `__shared__` is therefore a
// static variable, and threadIdx is a global one, which the scheduler sets whenever a thread goes on.
#pragma once

// All that this header needs of the standard library comes before the words of CUDA are defined.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <type_traits>
#include <utility>

#include "interface.h"
#include "vectors.h"

// The name of a symbol as the assembler writes it.
#define CHAINRULE_TEXT(x) #x
#define CHAINRULE_PREFIXED(prefix, name) CHAINRULE_TEXT(prefix) name
#define CHAINRULE_LABEL(name) CHAINRULE_PREFIXED(__USER_LABEL_PREFIX__, name)

#define __global__
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __launch_bounds__(...)
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
// `used`: as if others read and wrote it too, so that what is never written is not taken for 0. In checked mode shared
// variables are thread-local: that is a segment of its own, which holds nothing else.
#ifdef CHAINRULE_CHECKED
#define __shared__ static __thread __attribute__((used))
#else
#define __shared__ static __attribute__((used))
#endif

#define threadIdx (static_cast<const uint3&>(emulated::now.thread))
#define blockIdx (static_cast<const uint3&>(emulated::now.block))
#define blockDim (static_cast<const dim3&>(emulated::now.block_size))
#define gridDim (static_cast<const dim3&>(emulated::now.grid_size))
constexpr int warpSize = 32;

#include "include/assert.h"
#define __trap() emulated::fail("assertion", "__trap() was called", __FILE__, __LINE__)

#include "intrinsics.h"
#include "synchronisation.h"
#include "description.h"
