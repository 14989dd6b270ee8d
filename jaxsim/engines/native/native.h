/* Vectors of lanes and what is done with them, for the generated training loops.

   The generated source defines REAL_BITS, VECTOR_BYTES and LANES before it includes this file.
   Vectors are GCC's and Clang's vector types, which any instruction set can hold. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

#if REAL_BITS == 32
typedef float real;
typedef int32_t integer;
#define SIGN 0x7fffffff
#define SCALAR(name) name##f
#else
typedef double real;
typedef int64_t integer;
#define SIGN 0x7fffffffffffffff
#define SCALAR(name) name
#endif

/* Memory may hold them at any address that is good for a real. */
typedef real vec __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BITS / 8), may_alias));
typedef integer mask __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BITS / 8), may_alias));
enum { V = VECTOR_BYTES / sizeof(real) };

#define INLINE static inline __attribute__((always_inline, unused))

INLINE vec load(const real *p) { return *(const vec *)p; }
INLINE void store(real *p, vec x) { *(vec *)p = x; }

/* x - 0 is x for every x, -0 and not-a-number included, and compilers know it. */
INLINE vec splat(real x) { return x - (vec){0}; }
INLINE mask splat_integer(integer x) { return x - (mask){0}; }
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (mask){__VA_ARGS__})
#endif

INLINE mask select_integer(mask m, mask yes, mask no) { return (yes & m) | (no & ~m); }
INLINE vec select(mask m, vec yes, vec no) { return (vec)select_integer(m, (mask)yes, (mask)no); }
INLINE vec absolute(vec x) { return (vec)((mask)x & splat_integer(SIGN)); }
INLINE mask is_finite(vec x) { return (mask)(absolute(x) < splat((real)INFINITY)); }

/* Maxima stay not-a-number once they are. */
INLINE void raise(real *p, vec x) {
  const vec old = load(p);
  store(p, select((mask)(x > old) | (mask)(x != x), x, old));
}

INLINE real largest(const real *p) {
  real r = p[0];
  for (int l = 1; l < V; l++) r = p[l] > r || p[l] != p[l] ? p[l] : r;
  return r;
}

INLINE vec signum(vec x) {
  return select((mask)(x > splat(0)), splat(1), select((mask)(x < splat(0)), splat(-1), x));
}

INLINE vec square_root(vec x) {
  real r[V];
  memcpy(r, &x, sizeof r);
  for (int l = 0; l < V; l++) r[l] = SCALAR(__builtin_sqrt)(r[l]);
  memcpy(&x, r, sizeof r);
  return x;
}

/* Transcendental functions of vectors: glibc's libmvec, or one lane after the other. */
#if defined(USE_LIBMVEC) && defined(__AVX512F__) && VECTOR_BYTES == 64
#define MVEC_32(name, arguments) _ZGVeN16##arguments##_##name##f
#define MVEC_64(name, arguments) _ZGVeN8##arguments##_##name
#define HAVE_MVEC
#elif defined(USE_LIBMVEC) && defined(__AVX2__) && VECTOR_BYTES == 32
#define MVEC_32(name, arguments) _ZGVdN8##arguments##_##name##f
#define MVEC_64(name, arguments) _ZGVdN4##arguments##_##name
#define HAVE_MVEC
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#ifdef HAVE_MVEC
#define FUNCTION(name)                              \
  vec JOIN(MVEC_, REAL_BITS)(name, v)(vec);         \
  INLINE vec name##_(vec x) { return JOIN(MVEC_, REAL_BITS)(name, v)(x); }
#else
#define FUNCTION(name)                                        \
  INLINE vec name##_(vec x) {                                 \
    vec r;                                                    \
    for (int l = 0; l < V; l++) r[l] = SCALAR(name)(x[l]);    \
    return r;                                                 \
  }
#endif

FUNCTION(exp)
FUNCTION(exp2)
FUNCTION(expm1)
FUNCTION(log)
FUNCTION(log1p)
FUNCTION(tanh)
FUNCTION(sinh)
FUNCTION(cosh)
FUNCTION(sin)
FUNCTION(cos)
FUNCTION(atan)
FUNCTION(asinh)
FUNCTION(cbrt)
FUNCTION(erf)
FUNCTION(erfc)

#ifdef HAVE_MVEC
vec JOIN(MVEC_, REAL_BITS)(pow, vv)(vec, vec);
INLINE vec pow_(vec x, vec y) { return JOIN(MVEC_, REAL_BITS)(pow, vv)(x, y); }
#else
INLINE vec pow_(vec x, vec y) {
  vec r;
  for (int l = 0; l < V; l++) r[l] = SCALAR(pow)(x[l], y[l]);
  return r;
}
#endif

/* The angle of (x, y) in [-pi, pi] with its signs of zeros; not-a-number if both are infinite.

   With |t| <= tan(pi / 8) after a reduction that needs no division of its own, atan(t) is
   t + t^3 P(t^2), whose P interpolates at Chebyshev nodes: relative error 3e-9 and 7e-18, below
   half a unit in the last place. */
#if REAL_BITS == 32
#define ARC_TERMS 5
static const real arc_polynomial[ARC_TERMS] = {
    -0x1.555554p-2f, 0x1.99973p-3f, -0x1.24202ep-3f, 0x1.b80f88p-4f, -0x1.08432cp-4f};
#else
#define ARC_TERMS 11
static const real arc_polynomial[ARC_TERMS] = {
    -0x1.5555555555555p-2, 0x1.999999999934ap-3,  -0x1.24924924360cbp-3, 0x1.c71c7185314cbp-4,
    -0x1.745d0b26b83e7p-4, 0x1.3b1262d95579ep-4,  -0x1.10fa75382537fp-4, 0x1.dfe61e80903d2p-5,
    -0x1.a098bb6ba4941p-5, 0x1.41603647c7a7cp-5,  -0x1.3a2b7a07caea9p-6};
#endif
#define HALF_PI 1.5707963267948966
#define REST_32 -4.371139000186241e-8
#define REST_64 6.123233995736766e-17

INLINE vec atan2_(vec y, vec x) {
  const vec high = absolute(y), wide = absolute(x);
  const mask middle = (mask)(high > splat((real)0.41421356237309503) * wide);
  const mask steep = (mask)(high > splat((real)2.414213562373095) * wide);
  const vec above = select(steep, -wide, select(middle, high - wide, high));
  const vec below = select(steep, high, select(middle, high + wide, wide));
  const vec t = above / select((mask)(below == splat(0)), splat(1), below);
  const vec start = select(steep, splat((real)HALF_PI), select(middle, splat((real)(HALF_PI / 2)), splat(0)));
  const real rest = (real)JOIN(REST_, REAL_BITS);
  const vec lost = select(steep, splat(rest), select(middle, splat(rest / 2), splat(0)));
  /* In two halves, so that one need not wait for the other. */
  const vec z = t * t, square = z * z;
  vec p = splat(arc_polynomial[ARC_TERMS - 1]), odd = splat(arc_polynomial[ARC_TERMS - 2]);
  for (int k = ARC_TERMS - 3; k >= 0; k -= 2) p = splat(arc_polynomial[k]) + square * p;
  for (int k = ARC_TERMS - 4; k >= 0; k -= 2) odd = splat(arc_polynomial[k]) + square * odd;
  p += z * odd;
  const vec angle = start + (t + (t * z * p + lost));
  /* The comparison of integers sees the sign of a zero. */
  const vec full = select((mask)x < splat_integer(0), splat((real)(2 * HALF_PI)) - angle, angle);
  return (vec)(((mask)full & splat_integer(SIGN)) | ((mask)y & ~splat_integer(SIGN)));
}

/* XLA asks every handler for the version of its interface; return whether this is that question. */
INLINE int answer_metadata(XLA_FFI_CallFrame *frame) {
  /* Cast to the longest type: that of the base has had several names. */
  XLA_FFI_Metadata_Extension *extension = (XLA_FFI_Metadata_Extension *)frame->extension_start;
  if (!extension || extension->extension_base.type != XLA_FFI_Extension_Metadata) return 0;
  XLA_FFI_Metadata *metadata = extension->metadata;
  metadata->api_version.major_version = XLA_FFI_API_MAJOR;
  metadata->api_version.minor_version = XLA_FFI_API_MINOR;
  return 1;
}

INLINE void *argument(XLA_FFI_CallFrame *frame, int place) {
  return ((XLA_FFI_Buffer *)frame->args.args[place])->data;
}

INLINE void *result(XLA_FFI_CallFrame *frame, int place) {
  return ((XLA_FFI_Buffer *)frame->rets.rets[place])->data;
}

INLINE size_t count(const XLA_FFI_Buffer *buffer) {
  size_t size = 1;
  for (int axis = 0; axis < buffer->rank; axis++) size *= buffer->dims[axis];
  return size;
}

/* The numbers in each lane's own table; 0 if all share one, of the given rank. */
INLINE size_t size_of_own_table(XLA_FFI_CallFrame *frame, int place, int rank) {
  const XLA_FFI_Buffer *buffer = frame->args.args[place];
  size_t size = buffer->rank > rank;
  for (int axis = 1; axis < buffer->rank; axis++) size *= buffer->dims[axis];
  return size;
}
