#include "steady/count_malloc.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define STEMMA_COUNTS_MALLOC 1
#endif

namespace stemma {
namespace {
std::atomic<int64_t> calls{0};
}  // namespace

int64_t malloc_calls() { return calls.load(); }

#ifdef STEMMA_COUNTS_MALLOC
bool malloc_is_counted() { return true; }
#else
bool malloc_is_counted() { return false; }
#endif

}  // namespace stemma

#ifdef STEMMA_COUNTS_MALLOC
// glibc's own names for what these stand in front of. operator new comes through here as well.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t n) {
  ++stemma::calls;
  return __libc_malloc(n);
}
void* calloc(size_t n, size_t size) {
  ++stemma::calls;
  return __libc_calloc(n, size);
}
void* realloc(void* p, size_t n) {
  ++stemma::calls;
  return __libc_realloc(p, n);
}
void* memalign(size_t alignment, size_t n) {
  ++stemma::calls;
  return __libc_memalign(alignment, n);
}
void* aligned_alloc(size_t alignment, size_t n) {
  ++stemma::calls;
  return __libc_memalign(alignment, n);
}
int posix_memalign(void** p, size_t alignment, size_t n) {
  ++stemma::calls;
  *p = __libc_memalign(alignment, n);
  return *p ? 0 : ENOMEM;
}
}
#endif
