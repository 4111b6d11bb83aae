#include "train/metrics.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_dir.h"
#include "train/curve.h"
#include "train/full_disk.h"

namespace stemma {
namespace {

Metric metric(int64_t step, double loss, std::string split = "train") {
  Metric m;
  m.step = step;
  m.loss = loss;
  m.split = std::move(split);
  return m;
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++n;
  return n;
}

TEST(Metrics, ResumedLogReadsAsIfNothingHadHappened) {
  TempDir dir;
  const auto path = dir / "metrics.jsonl";
  {
    MetricsLog log(path, 0);
    for (int64_t step = 1; step <= 4; ++step)
      log.add(metric(step, 5.0 - static_cast<double>(step)));
    log.add(metric(4, 1.5, "validation"));
  }
  const std::string whole = read_file(path);
  // Steps 3 and 4 happened after the checkpoint, and the last line was being written.
  write_file(path, whole + R"({"step": 5, "tok)");
  MetricsLog log(path, 2);
  ASSERT_EQ(log.all().size(), 2u);
  EXPECT_EQ(log.all()[1].loss, 3);
  log.add(metric(3, 2));
  log.add(metric(4, 1));
  log.add(metric(4, 1.5, "validation"));
  EXPECT_EQ(read_file(path), whole);
}

TEST(Metrics, FullDiskIsAnError) {
  TempDir dir;
  MetricsLog log(dir / "metrics.jsonl", 0);
  log.add(metric(1, 2));
  FullDisk full(64);
  EXPECT_THROW(log.add(metric(2, 1)), Error);
}

TEST(Curve, DrawsBothLinesAndRoundNumbers) {
  std::vector<Metric> metrics;
  for (int64_t step = 1; step <= 5000; ++step)
    metrics.push_back(metric(step, 1.0 + 4.0 / static_cast<double>(step)));
  for (int64_t step = 1000; step <= 5000; step += 1000)
    metrics.push_back(metric(step, 1.2, "validation"));
  const std::string svg = loss_svg("a <title> & more", metrics);
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_EQ(count(svg, "<polyline"), 2u);
  EXPECT_EQ(count(svg, "<circle"), 5u);
  EXPECT_NE(svg.find("a &lt;title> &amp; more"), svg.npos);
  EXPECT_NE(svg.find(">5000</text>"), svg.npos);
  EXPECT_NE(svg.find(">2</text>"), svg.npos);
  EXPECT_LT(svg.size(), 60000u) << "long lines are thinned";
  EXPECT_EQ(svg.find("nan"), svg.npos);
  EXPECT_EQ(svg.find("inf"), svg.npos);
}

TEST(Curve, StandsWithLittleOrNothingToDraw) {
  for (const std::vector<Metric>& metrics :
       {std::vector<Metric>{}, {metric(1, 2)}, {metric(1, 0), metric(2, 0)}}) {
    const std::string svg = loss_svg("t", metrics);
    EXPECT_TRUE(svg.ends_with("</svg>\n"));
    EXPECT_EQ(svg.find("nan"), svg.npos);
    EXPECT_EQ(svg.find("inf"), svg.npos);
  }
}

}  // namespace
}  // namespace stemma
