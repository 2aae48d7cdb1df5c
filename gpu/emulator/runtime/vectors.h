// The vector types of CUDA: float4 and its kin, aligned as on the device, with make_float4(...).
#pragma once

#define CHAINRULE_VECTORS(T, name, align2, align4)                                             \
    struct name##1 { T x; };                                                                   \
    struct __attribute__((aligned(align2))) name##2 { T x, y; };                               \
    struct name##3 { T x, y, z; };                                                             \
    struct __attribute__((aligned(align4))) name##4 { T x, y, z, w; };                         \
    inline name##1 make_##name##1(T x) { return {x}; }                                         \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                 \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                         \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

// uint3 is the type of threadIdx, and stands in interface.h.
struct uint1 { unsigned x; };
struct __attribute__((aligned(8))) uint2 { unsigned x, y; };
struct __attribute__((aligned(16))) uint4 { unsigned x, y, z, w; };
inline uint1 make_uint1(unsigned x) { return {x}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

CHAINRULE_VECTORS(signed char, char, 2, 4)
CHAINRULE_VECTORS(unsigned char, uchar, 2, 4)
CHAINRULE_VECTORS(short, short, 4, 8)
CHAINRULE_VECTORS(unsigned short, ushort, 4, 8)
CHAINRULE_VECTORS(int, int, 8, 16)
CHAINRULE_VECTORS(long long, longlong, 16, 16)
CHAINRULE_VECTORS(unsigned long long, ulonglong, 16, 16)
CHAINRULE_VECTORS(float, float, 8, 16)
CHAINRULE_VECTORS(double, double, 16, 16)
#undef CHAINRULE_VECTORS
