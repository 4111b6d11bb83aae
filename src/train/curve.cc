#include "train/curve.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace stemma {
namespace {

constexpr double kWidth = 860, kHeight = 460;
constexpr double kLeft = 64, kRight = 24, kTop = 48, kBottom = 52;
constexpr size_t kMostPoints = 1000;  // a line of more is drawn through the means of its pieces

struct Point {
  double x, y;
};
struct Range {
  double low, high;
};

std::vector<Point> points_of(std::span<const Metric> metrics, bool training) {
  std::vector<Point> all;
  for (const Metric& m : metrics)
    if (m.training() == training) all.push_back({static_cast<double>(m.step), m.loss});
  const size_t piece = (all.size() + kMostPoints - 1) / kMostPoints;
  if (piece <= 1) return all;
  std::vector<Point> thin;
  for (size_t begin = 0; begin < all.size(); begin += piece) {
    const size_t end = std::min(begin + piece, all.size());
    Point mean{0, 0};
    for (size_t i = begin; i < end; ++i) mean.x += all[i].x, mean.y += all[i].y;
    const auto n = static_cast<double>(end - begin);
    thin.push_back({mean.x / n, mean.y / n});
  }
  return thin;
}

// 1, 2 or 5 times a power of ten, so that about `count` steps cover the range.
double round_step(Range range, double count) {
  const double raw = (range.high - range.low) / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw) return factor * power;
  return 10 * power;
}

// Pixels need two decimals.
std::string pixels(double v) { return cat(std::round(v * 100) / 100); }

// A multiple of `step` without the dust of its multiplication.
std::string tick_label(double value, double step) {
  const double unit = std::pow(10, std::floor(std::log10(step)));
  const double rounded = std::round(value / unit);
  return unit >= 1 ? cat(static_cast<int64_t>(rounded * unit))
                   : cat(rounded / std::round(1 / unit));
}

std::string escaped(std::string_view text) {
  std::string s;
  for (char ch : text) s += ch == '<' ? "&lt;" : ch == '&' ? "&amp;" : std::string(1, ch);
  return s;
}

class Chart {
 public:
  Chart(Range x, Range y) : x_(x), y_(y) {}

  std::string axes() const {
    std::string s;
    const double x_step = std::max(1.0, round_step(x_, 8)), y_step = round_step(y_, 7);
    for (double v = std::ceil(y_.low / y_step) * y_step; v <= y_.high + 1e-9 * y_step; v += y_step)
      s += cat("<line class=\"grid\" x1=\"", kLeft, "\" x2=\"", kWidth - kRight, "\" y1=\"",
               y_pixel(v), "\" y2=\"", y_pixel(v), "\"/><text x=\"", kLeft - 8, "\" y=\"",
               y_pixel(v), "\" dy=\"4\" text-anchor=\"end\">", tick_label(v, y_step), "</text>\n");
    for (double v = std::ceil(x_.low / x_step) * x_step; v <= x_.high + 1e-9 * x_step; v += x_step)
      s += cat("<line class=\"grid\" y1=\"", kTop, "\" y2=\"", kHeight - kBottom, "\" x1=\"",
               x_pixel(v), "\" x2=\"", x_pixel(v), "\"/><text x=\"", x_pixel(v), "\" y=\"",
               kHeight - kBottom + 20, "\" text-anchor=\"middle\">", tick_label(v, x_step),
               "</text>\n");
    s += cat("<text x=\"", (kLeft + kWidth - kRight) / 2, "\" y=\"", kHeight - 12,
             "\" text-anchor=\"middle\">step</text>\n<text transform=\"translate(16 ",
             (kTop + kHeight - kBottom) / 2,
             ") rotate(-90)\" text-anchor=\"middle\">loss, nats a token</text>\n");
    return s;
  }

  std::string line(const std::vector<Point>& points, std::string_view style, bool dots) const {
    std::string s = cat("<polyline class=\"", style, "\" points=\"");
    for (const Point& p : points) s += cat(x_pixel(p.x), ",", y_pixel(p.y), " ");
    s += "\"/>\n";
    for (size_t i = 0; dots && i < points.size(); ++i)
      s += cat("<circle class=\"", style, "\" r=\"2.5\" cx=\"", x_pixel(points[i].x), "\" cy=\"",
               y_pixel(points[i].y), "\"/>\n");
    return s;
  }

 private:
  std::string x_pixel(double v) const {
    return pixels(kLeft + (v - x_.low) / (x_.high - x_.low) * (kWidth - kLeft - kRight));
  }
  std::string y_pixel(double v) const {
    return pixels(kHeight - kBottom -
                  (v - y_.low) / (y_.high - y_.low) * (kHeight - kTop - kBottom));
  }
  Range x_, y_;
};

std::string legend(double x, std::string_view style, std::string_view name, double loss) {
  return cat("<line class=\"", style, "\" x1=\"", x, "\" x2=\"", x + 24, "\" y1=\"24\" y2=\"24\"/>",
             "<text x=\"", x + 32, "\" y=\"28\">", name, " ", std::round(loss * 1000) / 1000,
             "</text>\n");
}

}  // namespace

std::string loss_svg(std::string_view title, std::span<const Metric> metrics) {
  const std::vector<Point> train = points_of(metrics, true), held = points_of(metrics, false);
  Range x{0, 1}, y{std::numeric_limits<double>::max(), std::numeric_limits<double>::lowest()};
  for (const auto* points : {&train, &held})
    for (const Point& p : *points) {
      x.high = std::max(x.high, p.x);
      y = {std::min(y.low, p.y), std::max(y.high, p.y)};
    }
  if (y.low > y.high) y = {0, 1};
  const double margin = std::max(0.05 * (y.high - y.low), 1e-3);
  y = {std::max(0.0, y.low - margin), y.high + margin};

  const Chart chart(x, y);
  std::string s =
      cat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", kWidth, " ", kHeight,
          "\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#333\">\n<style>\n"
          ".grid{stroke:#e4e4e4}\n"
          "polyline,line.train,line.held{fill:none;stroke-width:1.6;stroke-linejoin:round}\n"
          ".train{stroke:#2b6cb0}\n.held{stroke:#c05621}\ncircle.held{fill:#c05621}\n</style>\n"
          "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"",
          kLeft, "\" y=\"28\" font-size=\"16\">", escaped(title), "</text>\n", chart.axes());
  if (!train.empty())
    s += chart.line(train, "train", false) +
         legend(kWidth - 400, "train", "training", train.back().y);
  if (!held.empty())
    s += chart.line(held, "held", true) + legend(kWidth - 210, "held", "validation", held.back().y);
  return s + "</svg>\n";
}

}  // namespace stemma
