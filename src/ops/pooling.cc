// Compositions of primitives: one pass over what a model just spent many on.
#include "ops/pooling.h"

#include <cmath>

#include "ops/op.h"

namespace stemma {
namespace {

// Rows [begin, end) of x count for one sequence; `place` is what comes before them in it.
struct Segment {
  int32_t begin, end, place;
};

std::vector<Segment> segments(const Tensor& x, const Ints& start, const Ints& skip) {
  check(x.rank() == 2, "[pooling] x has shape ", x.shape().to_string(), "; it must be [T,C]");
  check(!start.empty() && start.front() == 0 && start.back() == x.extent(0),
        "[pooling] offsets must run from 0 to ", x.extent(0));
  const size_t n = start.size() - 1;
  check(skip.empty() || skip.size() == n, "[pooling] ", skip.size(), " rows to skip for ", n,
        " sequences");
  std::vector<Segment> all;
  for (size_t s = 0; s < n; ++s) {
    const int32_t length = start[s + 1] - start[s], skipped = skip.empty() ? 0 : skip[s];
    check(length >= 0 && skipped >= 0 && skipped <= length, "[pooling] sequence ", s, " has ",
          length, " rows, of which ", skipped, " to skip");
    all.push_back({start[s] + skipped, start[s + 1], skipped});
  }
  return all;
}

// Values made on the host, in the dtype of `like`.
Tensor constants(Ctx& c, const std::vector<double>& values, Shape shape, const Tensor& like) {
  return cast(c, Tensor::from<double>(c, values, shape), like.dtype());
}

// sum over a sequence's rows of weight(place in the sequence), then times scale(rows, weights'
// sum).
template <class Weight, class Scale>
Tensor weighted_sum(Ctx& c, const Tensor& x, const std::vector<Segment>& all, Weight weight,
                    Scale scale) {
  Ints rows, sequence;
  std::vector<double> weights, scales;
  for (size_t s = 0; s < all.size(); ++s) {
    double total = 0;
    for (int32_t t = all[s].begin; t < all[s].end; ++t) {
      rows.push_back(t);
      sequence.push_back(static_cast<int32_t>(s));
      weights.push_back(weight(all[s].place + t - all[s].begin));
      total += weights.back();
    }
    scales.push_back(scale(all[s].end - all[s].begin, total));
  }
  const auto counted = static_cast<int64_t>(rows.size()), n = static_cast<int64_t>(all.size());
  const Tensor taken = counted == x.extent(0) ? x : gather(c, x, Tensor::from(c, rows));
  const Tensor weighted = mul(c, taken, constants(c, weights, {counted, 1}, x));
  const Tensor sums = scatter_add(c, weighted, Tensor::from(c, sequence), n);
  return mul(c, sums, constants(c, scales, {n, 1}, x));
}

// pick(segment) rows of x; zeros where nothing counts.
template <class Pick>
Tensor one_row_each(Ctx& c, const Tensor& x, const std::vector<Segment>& all, Pick pick) {
  Ints rows, sequence;
  for (size_t s = 0; s < all.size(); ++s) {
    if (all[s].begin == all[s].end) continue;
    rows.push_back(pick(all[s]));
    sequence.push_back(static_cast<int32_t>(s));
  }
  const Tensor taken = gather(c, x, Tensor::from(c, rows));
  if (rows.size() == all.size()) return taken;
  return scatter_add(c, taken, Tensor::from(c, sequence), static_cast<int64_t>(all.size()));
}

Tensor greatest(Ctx& c, const Tensor& x, const std::vector<Segment>& all) {
  const Tensor nothing = Tensor::zeros(c, {1, x.extent(1)}, x.dtype());
  std::vector<Tensor> parts;
  for (const Segment& s : all)
    parts.push_back(s.begin == s.end ? nothing : max(c, slice(c, x, 0, s.begin, s.end), 0));
  return parts.empty() ? Tensor::zeros(c, {0, x.extent(1)}, x.dtype()) : concat(c, parts, 0);
}

struct Pooled {
  Tensor x;
  std::vector<Segment> segments;
  Pooling mode;
  Tensor y = {};
};

void define_pool(Ctx& c, Pooled& p) {
  const Tensor& x = p.x;
  const std::vector<Segment>& all = p.segments;
  const auto one = [](int32_t) { return 1.0; };
  switch (p.mode) {
    case Pooling::cls:
      p.y = one_row_each(c, x, all, [](const Segment& s) { return s.begin; });
      return;
    case Pooling::last:
      p.y = one_row_each(c, x, all, [](const Segment& s) { return s.end - 1; });
      return;
    case Pooling::max:
      p.y = greatest(c, x, all);
      return;
    case Pooling::mean:
      p.y = weighted_sum(c, x, all, one, [](int32_t n, double) { return n ? 1.0 / n : 0.0; });
      return;
    case Pooling::mean_sqrt_len:
      p.y = weighted_sum(c, x, all, one,
                         [](int32_t n, double) { return n ? 1 / std::sqrt(n) : 0.0; });
      return;
    case Pooling::weighted_mean:
      p.y = weighted_sum(
          c, x, all, [](int32_t place) { return place + 1.0; },
          [](int32_t n, double total) { return n ? 1 / total : 0.0; });
      return;
  }
}

// Sequences of 0, 1, 3 and the remaining rows.
OpCase pooling(std::string name, Pooling mode, const Ints& skip = {}) {
  return {.name = std::move(name),
          .inputs =
              [](int64_t rows, int64_t n) {
                return std::vector{OpInput::real({rows + 4, n})};
              },
          .run = [=](Ctx& c, const Tensors& in) -> Tensors {
            const Ints start = {0, 0, 1, 4, static_cast<int32_t>(in[0].extent(0))};
            return {pool(c, in[0], start, mode, skip)};
          }};
}

std::vector<OpCase> pool_cases() {
  const Ints skip = {0, 1, 1, 0};
  return {pooling("cls", Pooling::cls),
          pooling("mean", Pooling::mean),
          pooling("max", Pooling::max),
          pooling("mean_sqrt_len", Pooling::mean_sqrt_len),
          pooling("weighted_mean", Pooling::weighted_mean),
          pooling("last", Pooling::last),
          pooling("cls_after_prompt", Pooling::cls, skip),
          pooling("max_after_prompt", Pooling::max, skip),
          pooling("weighted_mean_after_prompt", Pooling::weighted_mean, skip)};
}

const Op<Pooled> kPool{{.name = "pool",
                        .operands = {&Pooled::x},
                        .results = {&Pooled::y},
                        .define = define_pool,
                        .cases = pool_cases}};

struct Normalized {
  Tensor x;
  Tensor y = {};
};

// The bound is inside the root, so that a row of zeros has a gradient (zero) and not NaN.
void define_normalize(Ctx& c, Normalized& p) {
  const Tensor squares = sum(c, square(c, p.x), -1);
  const Tensor bounded = maximum(c, squares, Tensor::scalar(c, 1e-24, p.x.dtype()));
  p.y = div(c, p.x, sqrt(c, bounded));
}

std::vector<OpCase> normalize_cases() {
  return {{.name = "rows",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::batch({rows, n})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors { return {normalize(c, in[0])}; }}};
}

const Op<Normalized> kNormalize{{.name = "normalize",
                                 .operands = {&Normalized::x},
                                 .results = {&Normalized::y},
                                 .define = define_normalize,
                                 .cases = normalize_cases}};

}  // namespace

Tensor pool(Ctx& c, const Tensor& x, const Ints& start, Pooling mode, const Ints& skip) {
  return kPool(c, {.x = x, .segments = segments(x, start, skip), .mode = mode}).y;
}

Tensor normalize(Ctx& c, const Tensor& x) { return kNormalize(c, {.x = x}).y; }

}  // namespace stemma
