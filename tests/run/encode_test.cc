// Shards: every sequence once, none much longer than asked for, whatever the team.
#include "run/encode.h"

#include <gtest/gtest.h>

#include <mutex>
#include <numeric>

#include "base/error.h"
#include "run/engine.h"

namespace stemma {
namespace {

TEST(Encode, EachSequenceOnceInShardsOfLikeSize) {
  for (int threads : {1, 2, 3})
    for (size_t count : {size_t{0}, size_t{1}, size_t{7}, size_t{500}}) {
      Engine engine(threads);
      Ctx c = engine.ctx();
      Ints lengths;
      for (size_t i = 0; i < count; ++i) lengths.push_back(static_cast<int32_t>(1 + i * 37 % 60));
      const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
      std::mutex mutex;
      std::vector<int> seen(count);
      std::vector<int64_t> shards;
      encode(
          c, lengths,
          [&](Ctx&, std::span<const size_t> sequences) {
            std::lock_guard lock(mutex);
            shards.push_back(0);
            for (size_t i : sequences) ++seen[i], shards.back() += lengths[i];
          },
          256);
      EXPECT_EQ(seen, std::vector<int>(count, 1));
      for (int64_t tokens : shards) EXPECT_LE(tokens, 256 + 60);
      EXPECT_LE(static_cast<int64_t>(shards.size()), total / 256 + threads + 1);
    }
}

TEST(Encode, AnErrorOfTheWorkComesBack) {
  Engine engine(2);
  Ctx c = engine.ctx();
  const Ints lengths(50, 30);
  EXPECT_THROW(encode(
                   c, lengths,
                   [](Ctx&, std::span<const size_t> sequences) {
                     check(sequences[0] != 0, "[test] the first");
                   },
                   100),
               Error);
}

}  // namespace
}  // namespace stemma
