// Memory with an inaccessible page before and behind each buffer, for a Pool: a kernel that reads
// or writes one element too far stops the program. Contents are NaN at first, in any float type, so
// that what was never written shows. Thread safety: any thread.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "tensor/pool.h"

namespace stemma::ops_test {

enum class Edge { begin, end };  // of the accessible pages, which the buffer touches

inline Pool::Source guard_memory(Edge edge) {
  return [edge](size_t bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inner = (bytes + page - 1) / page * page, whole = inner + 2 * page;
    void* map = mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(map != MAP_FAILED, "[guard] no memory");
    std::byte* first = static_cast<std::byte*>(map) + page;
    check(inner == 0 || mprotect(first, inner, PROT_READ | PROT_WRITE) == 0, "[guard] no access");
    std::memset(first, 0xff, inner);
    return Buffer(edge == Edge::begin ? first : first + inner - bytes,
                  [map, whole](std::byte*) { munmap(map, whole); });
  };
}

}  // namespace stemma::ops_test
