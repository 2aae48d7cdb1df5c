// What kernels use of it is there without an include (cuda_emulated.h).
