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
