// Each pair (a, b) of a head turns by its position's angle t:
//   a' = a cos t - b sin t,  b' = b cos t + a sin t.
// Gradient: the rotation by -t. cos and sin carry YaRN's attention factor, which the gradient
// carries too, both being linear in them.
#include "ops/rope.h"

#include <algorithm>
#include <numbers>

#include "ops/op.h"
#include "ops/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/rope.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// One head: 2 * half dimensions turned by sign * angle, pairs `half` apart.
void turn_halves(const float* x, const float* cos, const float* sin, float sign, int64_t half,
                 float* y) {
  const hn::ScalableTag<float> d;
  const auto vsign = hn::Set(d, sign);
  for (int64_t j = 0; j < half; j += static_cast<int64_t>(hn::Lanes(d))) {
    const int64_t m = half - j;
    const auto a = load_n(d, x + j, m), b = load_n(d, x + half + j, m);
    const auto u = load_n(d, cos + j, m), v = hn::Mul(vsign, load_n(d, sin + j, m));
    store_n(d, vfnma(b, v, hn::Mul(a, u)), y + j, m);
    store_n(d, vfma(a, v, hn::Mul(b, u)), y + half + j, m);
  }
}

// The same with neighbours for pairs; one by one, since nothing that is hot has this layout.
void turn_neighbours(const float* x, const float* cos, const float* sin, float sign, int64_t half,
                     float* y) {
  for (int64_t j = 0; j < half; ++j) {
    const float a = x[2 * j], b = x[2 * j + 1], u = cos[j], v = sign * sin[j];
    y[2 * j] = std::fma(-b, v, a * u);
    y[2 * j + 1] = std::fma(a, v, b * u);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(turn_halves);
STEMMA_LEVELS(turn_neighbours);

struct Turn {
  Tensor x, cos, sin;
  bool interleaved;
  Tensor y = {};
};

void define(Ctx& c, Turn& p) {
  const int64_t tokens = p.x.extent(0), heads = p.x.extent(1), half = p.cos.extent(1);
  const Tensor u = reshape(c, p.cos, {tokens, 1, half}), v = reshape(c, p.sin, {tokens, 1, half});
  Tensor turning = slice(c, p.x, 2, 0, 2 * half), a, b;
  if (p.interleaved) {
    turning = reshape(c, turning, {tokens, heads, half, 2});
    a = reshape(c, slice(c, turning, 3, 0, 1), {tokens, heads, half});
    b = reshape(c, slice(c, turning, 3, 1, 2), {tokens, heads, half});
  } else {
    a = slice(c, turning, 2, 0, half);
    b = slice(c, turning, 2, half, 2 * half);
  }
  Tensor first = sub(c, mul(c, a, u), mul(c, b, v)), second = add(c, mul(c, b, u), mul(c, a, v));
  if (p.interleaved) {
    first = reshape(c, first, {tokens, heads, half, 1});
    second = reshape(c, second, {tokens, heads, half, 1});
    p.y = reshape(c, concat(c, {first, second}, 3), {tokens, heads, 2 * half});
  } else {
    p.y = concat(c, {first, second}, 2);
  }
  if (p.x.extent(2) > 2 * half)
    p.y = concat(c, {p.y, slice(c, p.x, 2, 2 * half, p.x.extent(2))}, 2);
}

// x turned by sign * angle.
Tensor turn(Ctx& c, const Turn& p, const Tensor& from, float sign) {
  const int64_t heads = from.extent(1), size = from.extent(2), half = p.cos.extent(1);
  const int64_t token_stride = from.strides()[0], head_stride = from.strides()[1];
  const int64_t cos_stride = p.cos.strides()[0], sin_stride = p.sin.strides()[0];
  const Tensor to = Tensor::empty(c, from.shape());
  const float *x = from.data<float>(), *cos = p.cos.data<float>(), *sin = p.sin.data<float>();
  float* y = to.data<float>();
  const auto head = p.interleaved ? STEMMA_AT_LEVEL(turn_neighbours) : STEMMA_AT_LEVEL(turn_halves);
  c.team->run_range(from.extent(0), rows::grain(heads * size), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < heads; ++h) {
        const float* in = x + t * token_stride + h * head_stride;
        float* out = y + (t * heads + h) * size;
        head(in, cos + t * cos_stride, sin + t * sin_stride, sign, half, out);
        std::copy(in + 2 * half, in + size, out + 2 * half);
      }
  });
  return to;
}

void forward(Ctx& c, Turn& p, bool) { p.y = turn(c, p, p.x, 1); }

void backward(Ctx& c, const Turn& p, std::span<const Tensor> d, Grads& g) {
  g.add(c, p.x, turn(c, p, d[0], -1));
}

// Two heads of 2n dimensions; `rest` more do not turn.
OpCase turning(std::string name, bool interleaved, int64_t rest) {
  return {.name = std::move(name),
          .inputs =
              [=](int64_t rows, int64_t n) {
                const OpInput table = OpInput::constant({rows, n}).each_row();
                return std::vector{OpInput::batch({rows, 2, 2 * n + rest}), table, table};
              },
          .run = [=](Ctx& c, const Tensors& in) -> Tensors {
            return {rope(c, in[0], {in[1], in[2], interleaved})};
          },
          .timed = rest == 0};
}

std::vector<OpCase> cases() {
  return {turning("halves", false, 0), turning("halves_partial", false, 5),
          turning("interleaved", true, 0), turning("interleaved_partial", true, 5)};
}

const Op<Turn> kRope{{.name = "rope",
                      .operands = {&Turn::x},
                      .constants = {&Turn::cos, &Turn::sin},
                      .results = {&Turn::y},
                      .reads = rows::dense,
                      .define = define,
                      .forward = {{"rows", forward}},
                      .backward = {{"rows", backward}},
                      .cases = cases}};

// 1 / theta^(2j / width), rounded to f32 where transformers rounds.
PoolVector<float> powers(const Rope& rope, std::pmr::memory_resource* memory) {
  PoolVector<float> p(static_cast<size_t>(rope.width / 2), memory);
  const double theta = static_cast<float>(rope.theta);
  for (size_t j = 0; j < p.size(); ++j) {
    const float exponent = static_cast<float>(2 * j) / static_cast<float>(rope.width);
    p[j] = static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
  }
  return p;
}

void scale(const RopeUnscaled&, const Rope&, PoolVector<float>&) {}

void scale(const RopeLinear& s, const Rope&, PoolVector<float>& frequencies) {
  for (float& f : frequencies) f /= static_cast<float>(s.factor);
}

void scale(const RopeLlama3& s, const Rope&, PoolVector<float>& frequencies) {
  const auto factor = static_cast<float>(s.factor);
  const auto longest = static_cast<float>(s.original / s.low);
  const auto shortest = static_cast<float>(s.original / s.high);
  for (float& f : frequencies) {
    const float wavelength = static_cast<float>(2 * std::numbers::pi) / f;
    if (wavelength > longest) {
      f /= factor;
    } else if (wavelength >= shortest) {
      const float keep = (static_cast<float>(s.original) / wavelength - static_cast<float>(s.low)) /
                         static_cast<float>(s.high - s.low);
      f = (1 - keep) * f / factor + keep * f;
    }
  }
}

void scale(const RopeYarn& s, const Rope& rope, PoolVector<float>& frequencies) {
  const auto dimension = [&](double turns) {
    return rope.width * std::log(s.original / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = dimension(s.beta_fast), high = dimension(s.beta_slow);
  if (s.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, rope.width - 1.0);
  if (low == high) high += 0.001;
  const PoolVector<float> theta_powers = powers(rope, frequencies.get_allocator().memory);
  for (size_t j = 0; j < frequencies.size(); ++j) {
    const float ramp = std::clamp(
        (static_cast<float>(j) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float keep = 1 - ramp;
    const float divided = 1 / (static_cast<float>(s.factor) * theta_powers[j]);
    frequencies[j] = divided * (1 - keep) + frequencies[j] * keep;
  }
}

void check_scaling(const RopeUnscaled&) {}
void check_scaling(const RopeLinear& s) {
  check(s.factor > 0, "[rope] linear factor ", s.factor, " must be positive");
}
void check_scaling(const RopeLlama3& s) {
  check(s.factor > 0 && s.original > 0 && s.low > 0 && s.high > s.low, "[rope] llama3 factor ",
        s.factor, ", low ", s.low, ", high ", s.high, ", original ", s.original,
        ": all must be positive, and high above low");
}
void check_scaling(const RopeYarn& s) {
  check(s.factor > 0 && s.original > 0 && s.beta_fast > 0 && s.beta_slow > 0, "[rope] yarn factor ",
        s.factor, ", original ", s.original, ", beta_fast ", s.beta_fast, ", beta_slow ",
        s.beta_slow, ": all must be positive");
}

double yarn_scale(const RopeYarn& s, double m) {
  return s.factor <= 1 ? 1.0 : 0.1 * m * std::log(s.factor) + 1.0;
}

}  // namespace

PoolVector<float> rope_frequencies(const Rope& rope, std::pmr::memory_resource* memory) {
  check(rope.width > 0 && rope.width % 2 == 0, "[rope] rotary width ", rope.width,
        " must be even and positive");
  check(rope.theta > 0 && std::isfinite(rope.theta), "[rope] theta ", rope.theta,
        " must be positive");
  std::visit([](const auto& s) { check_scaling(s); }, rope.scaling);
  PoolVector<float> frequencies = powers(rope, memory);
  for (float& f : frequencies) f = 1 / f;
  std::visit([&](const auto& s) { scale(s, rope, frequencies); }, rope.scaling);
  return frequencies;
}

double rope_attention_factor(const Rope& rope) {
  const auto* s = std::get_if<RopeYarn>(&rope.scaling);
  if (!s) return 1;
  if (s->attention_factor) return *s->attention_factor;
  if (s->mscale != 0 && s->mscale_all_dim != 0)
    return yarn_scale(*s, s->mscale) / yarn_scale(*s, s->mscale_all_dim);
  return yarn_scale(*s, 1);
}

double rope_score_factor(const Rope& rope) {
  const auto* s = std::get_if<RopeYarn>(&rope.scaling);
  if (!s || s->mscale_all_dim == 0) return 1;
  return yarn_scale(*s, s->mscale_all_dim) * yarn_scale(*s, s->mscale_all_dim);
}

RopeTables rope_tables(Ctx& c, const Rope& rope, const Ints& positions) {
  const PoolVector<float> frequencies = rope_frequencies(rope, c.pool);
  const auto factor = static_cast<float>(rope_attention_factor(rope));
  const auto tokens = static_cast<int64_t>(positions.size());
  const int64_t half = rope.width / 2;
  RopeTables tables{Tensor::empty(c, {tokens, half}), Tensor::empty(c, {tokens, half}),
                    rope.interleaved};
  float *cos = tables.cos.data<float>(), *sin = tables.sin.data<float>();
  c.team->run_range(tokens, std::max<int64_t>(1, 1024 / half), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t j = 0; j < half; ++j) {
        const float angle = static_cast<float>(positions[static_cast<size_t>(t)]) *
                            frequencies[static_cast<size_t>(j)];
        cos[t * half + j] = std::cos(angle) * factor;
        sin[t * half + j] = std::sin(angle) * factor;
      }
  });
  return tables;
}

Tensor rope(Ctx& c, const Tensor& x, const RopeTables& angles) {
  check(x.rank() == 3, "[rope] x has shape ", x.shape().to_string(),
        "; it must be [tokens, heads, head size]");
  check(angles.cos.rank() == 2 && angles.sin.shape() == angles.cos.shape() &&
            angles.cos.extent(0) == x.extent(0),
        "[rope] tables for ", angles.cos.shape().to_string(), " where x has ",
        x.shape().to_string());
  check(2 * angles.cos.extent(1) <= x.extent(2), "[rope] rotary width ", 2 * angles.cos.extent(1),
        " exceeds head size ", x.extent(2));
  return kRope(c, {.x = x, .cos = angles.cos, .sin = angles.sin, .interleaved = angles.interleaved})
      .y;
}

}  // namespace stemma
#endif
