// What the tests of attention share: a machine with random tensors, pages kept as a store would
// keep them, and comparison of bits.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "ops/attention/attention.h"

namespace stemma::attention_test {

struct Machine {
  explicit Machine(int threads = 1) : team(threads) {}
  Tensor random(Shape shape, uint64_t seed) {
    std::vector<float> x(static_cast<size_t>(shape.elements()));
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(RngKey(seed).uniform(i) * 4 - 2);
    return Tensor::from<float>(c, x, shape);
  }
  Team team;
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
};

inline Tensor rows(const Tensor& t, int64_t begin, int64_t end) {
  Shape shape = t.shape();
  shape[0] = end - begin;
  return t.view(shape, t.strides(), begin * t.strides()[0]);
}

// A sequence's pages, kept as a store would.
class Pages {
 public:
  Pages(Ctx& c, const KvLayout& layout) : c_(c), layout_(layout) {}
  void append(const Tensor& k, const Tensor& v) {
    for (int64_t done = 0; done < k.extent(0);) {
      const int64_t row = length_ % KvLayout::kTokens;
      if (row == 0) {
        pages_.push_back(c_.pool->allocate(static_cast<size_t>(layout_.bytes())));
        std::memset(pages_.back().get(), 0xff, static_cast<size_t>(layout_.bytes()));  // NaN
      }
      const int64_t n = std::min(k.extent(0) - done, KvLayout::kTokens - row);
      const int64_t k_stride = k.strides()[0], v_stride = v.strides()[0];
      stemma::append(layout_, pages_.back().get(), row, n,
                     {k.data<float>() + done * k_stride, k_stride,
                      v.data<float>() + done * v_stride, v_stride});
      done += n;
      length_ += n;
    }
  }
  KvPages from(int64_t first_page) const {
    KvPages out{.pages = {}, .first_page = first_page};
    for (size_t i = static_cast<size_t>(first_page); i < pages_.size(); ++i)
      out.pages.push_back(pages_[i].get());
    return out;
  }
  const std::byte* page(size_t i) const { return pages_[i].get(); }
  int64_t length() const { return length_; }

 private:
  Ctx& c_;
  KvLayout layout_;
  std::vector<Buffer> pages_;
  int64_t length_ = 0;
};

inline testing::AssertionResult same_bits(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.to_vector<float>(), y = b.to_vector<float>();
  if (x.size() != y.size()) return testing::AssertionFailure() << x.size() << " and " << y.size();
  for (size_t i = 0; i < x.size(); ++i)
    if (std::memcmp(&x[i], &y[i], sizeof(float)) != 0)
      return testing::AssertionFailure() << "element " << i << ": " << x[i] << " and " << y[i];
  return testing::AssertionSuccess();
}

}  // namespace stemma::attention_test
