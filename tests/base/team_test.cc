#include "base/team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include "base/error.h"

namespace stemma {
namespace {

TEST(Team, RunsEveryChunkOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    Team team(threads);
    EXPECT_EQ(team.size(), threads);
    for (const int64_t chunks : {0, 1, 2, 7, 1000}) {
      std::vector<int> hits(static_cast<size_t>(chunks));
      team.run(chunks, [&](int64_t i) { ++hits[static_cast<size_t>(i)]; });
      for (const int h : hits) EXPECT_EQ(h, 1);
    }
  }
}

TEST(Team, ZeroMeansOneThreadPerCore) { EXPECT_GE(Team(0).size(), 1); }

TEST(Team, RangesCoverAndKeepTheirGrain) {
  Team team(3);
  for (const int64_t n : {0, 1, 9, 10, 11, 100, 101}) {
    std::vector<int> hits(static_cast<size_t>(n));
    std::atomic<int> pieces = 0;
    team.run_range(n, 10, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(begin % 10, 0);
      EXPECT_EQ(end, std::min<int64_t>(begin + 10, n));
      for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
      ++pieces;
    });
    EXPECT_EQ(pieces, (n + 9) / 10);
    for (const int h : hits) EXPECT_EQ(h, 1);
  }
}

TEST(Team, UsesItsThreads) {
  Team team(4);
  std::atomic<int> inside = 0;
  // Each chunk waits until all four are inside, which only four threads can satisfy.
  team.run(4, [&](int64_t) {
    ++inside;
    while (inside < 4) std::this_thread::yield();
  });
  EXPECT_EQ(inside, 4);
}

TEST(Team, RethrowsAndStaysUsable) {
  for (const int threads : {1, 4}) {
    Team team(threads);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> ran = 0;
      try {
        team.run(1000, [&](int64_t i) {
          ++ran;
          if (i == 3) fail(Code::kUsage, "chunk ", i);
        });
        FAIL() << "nothing was thrown";
      } catch (const Error& e) {
        EXPECT_EQ(e.message(), "chunk 3");
        EXPECT_EQ(e.code(), Code::kUsage);
      }
      EXPECT_GE(ran, 4);
      std::atomic<int64_t> sum = 0;
      team.run(100, [&](int64_t i) { sum += i; });
      EXPECT_EQ(sum, 4950);
    }
  }
}

TEST(Team, ManyThrowersGiveOneException) {
  Team team(4);
  for (int round = 0; round < 100; ++round)
    EXPECT_THROW(team.run(16, [](int64_t i) { fail(Code::kFailed, i); }), Error);
}

TEST(Team, NestedRunsAreSerialOnTheirWorker) {
  Team team(4);
  std::vector<int64_t> sums(64);
  team.run(64, [&](int64_t i) {
    const auto self = std::this_thread::get_id();
    team.run(10, [&](int64_t j) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      sums[static_cast<size_t>(i)] += j;
    });
  });
  for (const int64_t s : sums) EXPECT_EQ(s, 45);
}

TEST(Team, NestedExceptionsCrossBothLevels) {
  Team team(2);
  EXPECT_THROW(team.run(8,
                        [&](int64_t) {
                          team.run(4, [](int64_t j) {
                            if (j == 2) fail(Code::kFailed, "inner");
                          });
                        }),
               Error);
  std::atomic<int> count = 0;
  team.run(8, [&](int64_t) { ++count; });
  EXPECT_EQ(count, 8);
}

// A nested region must not leave its worker believing that it has left the outer one: a third run
// after the nested one still has to be serial.
TEST(Team, RegionEndsWithTheOutermostRun) {
  Team outer(2), inner(2);
  outer.run(4, [&](int64_t) {
    const auto self = std::this_thread::get_id();
    for (int repeat = 0; repeat < 3; ++repeat)
      inner.run(4, [&](int64_t) { EXPECT_EQ(std::this_thread::get_id(), self); });
  });
}

TEST(Team, WorkersThatSleptWakeUp) {
  Team team(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int64_t> sum = 0;
    team.run(10, [&](int64_t i) { sum += i; });
    EXPECT_EQ(sum, 45);
  }
}

// A worker that comes late to one run must neither touch its job, which is gone, nor do a chunk of
// the next one twice.
TEST(Team, LatecomersFindOnlyTheRunThatIsOpen) {
  Team team(8);
  for (int round = 0; round < 5000; ++round) {
    std::vector<int> hits(static_cast<size_t>(2 + round % 3));
    team.run(static_cast<int64_t>(hits.size()), [&](int64_t i) { ++hits[static_cast<size_t>(i)]; });
    for (const int h : hits) ASSERT_EQ(h, 1) << "round " << round;
  }
}

// Plain writes of one run are visible to the next and to the caller, whoever made them.
TEST(Team, RunsAreOrdered) {
  Team team(4);
  std::vector<int64_t> values(256, 1);
  for (int round = 0; round < 200; ++round) {
    std::vector<int64_t> next(values.size());
    team.run_range(static_cast<int64_t>(values.size()), 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        next[static_cast<size_t>(i)] = values[values.size() - 1 - static_cast<size_t>(i)] + 1;
    });
    values.swap(next);
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), 256 * 201);
}

}  // namespace
}  // namespace stemma
