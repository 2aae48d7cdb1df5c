// Functions of CUDA that <math.h> lacks. exp(float), tanh(double), erf, fmax and the like are overloaded there already.
#pragma once

#define CUDART_INF_F __builtin_inff()
#define CUDART_NAN_F __builtin_nanf("")
#define CUDART_INF __builtin_inf()
#define CUDART_NAN __builtin_nan("")

namespace emulated {
template <typename To, typename From>
inline To bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "the same size");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}
}  // namespace emulated

// As in CUDA: exact overloads, so that min(int, long long) is ambiguous here as well.
#define CHAINRULE_MIN_MAX(A, B, T)                                                    \
    inline T min(A a, B b) { return (T)a < (T)b ? (T)a : (T)b; }                      \
    inline T max(A a, B b) { return (T)a > (T)b ? (T)a : (T)b; }
CHAINRULE_MIN_MAX(int, int, int)
CHAINRULE_MIN_MAX(unsigned, unsigned, unsigned)
CHAINRULE_MIN_MAX(int, unsigned, unsigned)
CHAINRULE_MIN_MAX(unsigned, int, unsigned)
CHAINRULE_MIN_MAX(long, long, long)
CHAINRULE_MIN_MAX(unsigned long, unsigned long, unsigned long)
CHAINRULE_MIN_MAX(long long, long long, long long)
CHAINRULE_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
#undef CHAINRULE_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(float a, double b) { return fmin(a, b); }
inline double min(double a, float b) { return fmin(a, b); }
inline double max(float a, double b) { return fmax(a, b); }
inline double max(double a, float b) { return fmax(a, b); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float fdividef(float x, float y) { return x / y; }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.707106781186547524f); }
inline double normcdf(double x) { return 0.5 * erfc(-x * 0.707106781186547524); }
inline float sinpif(float x) { return (float)sin(3.14159265358979323846 * fmod((double)x, 2.0)); }
inline float cospif(float x) { return (float)cos(3.14159265358979323846 * fmod((double)x, 2.0)); }
inline double sinpi(double x) { return sin(3.14159265358979323846 * fmod(x, 2.0)); }
inline double cospi(double x) { return cos(3.14159265358979323846 * fmod(x, 2.0)); }

// The device's fast versions are less accurate than these.
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return powf(10.0f, x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline void __sincosf(float x, float* s, float* c) { *s = sinf(x), *c = cosf(x); }
inline float __tanhf(float x) { return tanhf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }  // NaN gives 0

// Rounded to nearest, and never contracted to a fused multiply-add.
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return (float)(1.0 / sqrt((double)x)); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __drcp_rn(double x) { return 1.0 / x; }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }

inline int __float_as_int(float x) { return emulated::bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulated::bits<unsigned>(x); }
inline float __int_as_float(int x) { return emulated::bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulated::bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulated::bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulated::bits<double>(x); }
inline int __double2hiint(double x) { return (int)(emulated::bits<uint64_t>(x) >> 32); }
inline int __double2loint(double x) { return (int)emulated::bits<uint64_t>(x); }
inline double __hiloint2double(int high, int low) {
    return emulated::bits<double>((uint64_t)(uint32_t)high << 32 | (uint32_t)low);
}
inline int __float2int_rn(float x) { return (int)rintf(x); }
inline int __float2int_rz(float x) { return (int)x; }
inline int __float2int_rd(float x) { return (int)floorf(x); }
inline int __float2int_ru(float x) { return (int)ceilf(x); }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }
inline double __uint2double_rn(unsigned x) { return (double)x; }

inline int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline int __mul24(int a, int b) { return (a << 8 >> 8) * (b << 8 >> 8); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
    unsigned result = 0;
    for (int i = 0; i < 32; ++i) result |= (x >> i & 1u) << (31 - i);
    return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)((((uint64_t)high << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    const uint64_t bytes = (uint64_t)y << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        const unsigned choice = selector >> (4 * i) & 15u;
        unsigned byte = (unsigned)(bytes >> (8 * (choice & 7u))) & 255u;
        if (choice & 8u) byte = byte & 128u ? 255u : 0u;
        result |= byte << (8 * i);
    }
    return result;
}

// Hints to the device's caches mean nothing here.
#define CHAINRULE_LOAD(name) \
    template <typename T> __forceinline__ T name(const T* address) { return *address; }
CHAINRULE_LOAD(__ldg)
CHAINRULE_LOAD(__ldcs)
CHAINRULE_LOAD(__ldcg)
CHAINRULE_LOAD(__ldca)
CHAINRULE_LOAD(__ldlu)
CHAINRULE_LOAD(__ldcv)
#undef CHAINRULE_LOAD
#define CHAINRULE_STORE(name) \
    template <typename T> __forceinline__ void name(T* address, std::common_type_t<T> value) { *address = value; }
CHAINRULE_STORE(__stcs)
CHAINRULE_STORE(__stcg)
CHAINRULE_STORE(__stwb)
CHAINRULE_STORE(__stwt)
#undef CHAINRULE_STORE
