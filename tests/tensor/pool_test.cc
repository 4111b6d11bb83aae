#include "tensor/pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "tensor/tensor.h"

namespace stemma {
namespace {

TEST(Pool, GivesAgainWhatCameBack) {
  Pool pool;
  const std::byte* first = pool.allocate(1000).get();
  EXPECT_EQ(pool.allocate(1000).get(), first);
  EXPECT_EQ(pool.bytes_in_use(), 0);
}

TEST(Pool, BuffersAreAlignedAndApart) {
  Pool pool;
  std::vector<Buffer> held;
  for (size_t bytes : {0, 1, 63, 64, 65, 100, 4096, 5000, 100000}) {
    held.push_back(pool.allocate(bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(held.back().get()) % 64, 0u) << bytes;
    std::memset(held.back().get(), static_cast<int>(held.size()), bytes);
  }
  for (size_t i = 1; i < held.size(); ++i)
    EXPECT_EQ(static_cast<size_t>(*held[i]), i + 1) << "a neighbour wrote here";
}

TEST(Pool, FootprintsAreWhatIsCounted) {
  for (int64_t bytes : {1, 64, 65, 1000, 4096, 4097, 1 << 20, (1 << 20) + 1}) {
    Pool pool;
    const Buffer buffer = pool.allocate(static_cast<size_t>(bytes));
    EXPECT_EQ(pool.bytes_in_use(), Pool::footprint(bytes));
    EXPECT_GE(Pool::footprint(bytes), bytes);
    if (bytes > 64) {
      EXPECT_LE(Pool::footprint(bytes), bytes + bytes / 8 + 1);
    }
  }
}

TEST(Pool, PeakIsTheMostAtOnce) {
  Pool pool;
  {
    const Buffer a = pool.allocate(4096);
    const Buffer b = pool.allocate(4096);
  }
  const Buffer c = pool.allocate(4096);
  EXPECT_EQ(pool.peak_bytes(), 8192);
  pool.reset_peak();
  EXPECT_EQ(pool.peak_bytes(), 4096);
}

TEST(Pool, BuffersOutliveTheirPool) {
  Buffer buffer;
  {
    Pool pool;
    buffer = pool.allocate(1 << 16);
  }
  std::memset(buffer.get(), 1, 1 << 16);
  const Buffer copy = buffer;
  buffer = {};
  EXPECT_EQ(static_cast<int>(*copy), 1);
}

TEST(Pool, ServesContainers) {
  Pool pool;
  {
    std::pmr::vector<int> numbers(&pool);
    for (int i = 0; i < 1000; ++i) numbers.push_back(i);
    EXPECT_GE(pool.bytes_in_use(), 4000);
  }
  EXPECT_EQ(pool.bytes_in_use(), 0);
}

TEST(Pool, ThreadsMayShareIt) {
  Pool pool;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 2000; ++i) {
        const Buffer a = pool.allocate(i), b = pool.allocate(2 * i);
        std::memset(a.get(), t, i);
        std::memset(b.get(), t, 2 * i);
        if (i > 0) {
          ASSERT_EQ(static_cast<int>(*a), t);
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.bytes_in_use(), 0);
}

TEST(Tensor, IsUniqueUntilShared) {
  Pool pool;
  Team team(1);
  Ctx c{.team = &team, .pool = &pool};
  const Tensor t = Tensor::empty(c, {4, 5});
  EXPECT_TRUE(t.unique());
  const Tensor view = t.view({5, 4}, {1, 5});
  EXPECT_FALSE(t.unique());
  EXPECT_NE(view.id(), t.id());
}

}  // namespace
}  // namespace stemma
