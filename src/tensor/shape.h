// Shape: up to six extents, row-major, last dimension fastest.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/error.h"

namespace stemma {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;  // a scalar
  Shape(std::initializer_list<int64_t> extents) {
    for (int64_t e : extents) push_back(e);
  }

  int rank() const { return rank_; }
  // Negative dimensions count from the end.
  int64_t operator[](int dim) const { return extent_[index(dim)]; }
  int64_t& operator[](int dim) { return extent_[index(dim)]; }
  void push_back(int64_t extent) {
    check(rank_ < kMaxRank, "[shape] more than ", kMaxRank, " dimensions");
    extent_[rank_++] = extent;
  }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= extent_[i];
    return n;
  }
  // Row-major strides, in elements.
  Shape strides() const {
    Shape s = *this;
    int64_t step = 1;
    for (int i = rank_ - 1; i >= 0; --i) {
      s.extent_[i] = step;
      step *= extent_[i];
    }
    return s;
  }
  bool operator==(const Shape& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (extent_[i] != o.extent_[i]) return false;
    return true;
  }
  std::string to_string() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) s += cat(i ? ", " : "", extent_[i]);
    return s + "]";
  }

 private:
  int index(int dim) const {
    const int i = dim < 0 ? dim + rank_ : dim;
    check(i >= 0 && i < rank_, "[shape] dimension ", dim, " of a tensor of rank ", rank_);
    return i;
  }
  std::array<int64_t, kMaxRank> extent_{};
  int rank_ = 0;
};

}  // namespace stemma
