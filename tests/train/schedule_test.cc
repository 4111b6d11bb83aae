#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numbers>

#include "base/error.h"
#include "base/json.h"

namespace stemma {
namespace {

Schedule schedule(ScheduleKind kind) { return {kind, 100, 1000, 800}; }

void expect_factors(const Schedule& s, std::initializer_list<double> expected) {
  constexpr int64_t kSteps[] = {0, 50, 100, 500, 800, 850, 900, 950, 1000, 1200};
  size_t i = 0;
  for (double factor : expected) {
    EXPECT_NEAR(s.factor(kSteps[i]), factor, 1e-12) << "step " << kSteps[i];
    ++i;
  }
}

TEST(Schedule, Factors) {
  expect_factors(schedule(ScheduleKind::constant), {0, .5, 1, 1, 1, 1, 1, 1, 1, 1});
  expect_factors(schedule(ScheduleKind::linear),
                 {0, .5, 1, 5. / 9, 2. / 9, 1.5 / 9, 1. / 9, .5 / 9, 0, 0});
  expect_factors(schedule(ScheduleKind::wsd), {0, .5, 1, 1, 1, .75, .5, .25, 0, 0});
  const Schedule cosine{ScheduleKind::cosine, 100, 900, 0};
  expect_factors(cosine, {0, .5, 1, .5, .5 * (1 + std::cos(std::numbers::pi * 7 / 8)),
                          0.009607359798384756, 0, 0, 0, 0});
}

TEST(Schedule, WithoutWarmupStartsAtThePeak) {
  EXPECT_EQ((Schedule{ScheduleKind::linear, 0, 10, 0}.factor(0)), 1);
  EXPECT_EQ((Schedule{ScheduleKind::constant, 0, 0, 0}.factor(0)), 1);
}

TEST(Schedule, RefusesNumbersThatDoNotFit) {
  EXPECT_THROW((Schedule{ScheduleKind::linear, 10, 10, 0}.check_valid()), Error);
  EXPECT_THROW((Schedule{ScheduleKind::wsd, 10, 20, 5}.check_valid()), Error);
  EXPECT_THROW((Schedule{ScheduleKind::wsd, 10, 20, 20}.check_valid()), Error);
  EXPECT_NO_THROW((Schedule{ScheduleKind::constant, 10, 0, 0}.check_valid()));
}

// The rates that the reference recorded.
TEST(Schedule, RetracesTheReferenceCases) {
  int cases = 0;
  const std::filesystem::path root = STEMMA_SOURCE_DIR "/tests/cases";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().filename() != "train.json") continue;
    const Json file = Json::parse_file(entry.path());
    const Json& given = file.at("schedule");
    Schedule s;
    for (auto [name, kind] : kScheduleNames)
      if (name == given.at("kind").as_string()) s.kind = kind;
    s.warmup = given.get("warmup", 0);
    s.total = given.get("total", 0);
    s.decay_start = given.get("decay_start", 0);
    const double peak = file.at("optimizer").at("lr").as_double();
    const Json& lrs = file.at("lrs");
    ASSERT_GT(lrs.size(), 0u);
    for (size_t step = 0; step < lrs.size(); ++step)
      EXPECT_NEAR(peak * s.factor(static_cast<int64_t>(step)), lrs.at(step).as_double(), 1e-12)
          << entry.path() << " step " << step;
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace stemma
