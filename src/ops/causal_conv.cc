// Gradient, with r_t the sum that the activation is taken of and g_t = dy_t f'(r_t):
//   dx_t = sum over k of w_k g_{t+K-1-k}, over tokens of the same sequence;
//   dw_k = sum over t of g_t x_{t-K+1+k};  db = sum over t of g_t.
// Tails are inputs like any other that stand before the first token; a tail that goes out is a copy
// of the last inputs, and hands its gradient to them.
#include "ops/causal_conv.h"

#include <array>
#include <cstring>

#include "ops/op.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/causal_conv.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"
// After the two above, in this order.
#include "simd/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// One token: taps[k] is the input that w[k * n ..] multiplies.
void conv_row(const float* const* taps, const float* w, const float* b, int64_t k_taps,
              Activation act, int64_t n, float* y) {
  const activations::D d;
  activations::with_activation(act, [&](auto f) HWY_ATTR {
    for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
      const int64_t m = n - i;
      auto sum = b ? load_n(d, b + i, m) : hn::Zero(d);
      for (int64_t k = 0; k < k_taps; ++k)
        sum = vfma(load_n(d, w + k * n + i, m), load_n(d, taps[k] + i, m), sum);
      store_n(d, f.value(sum), y + i, m);
    }
  });
}

// g = dy f'(r); dw [K,n] and db are added to where they are not null.
void conv_row_backward(const float* const* taps, const float* w, const float* b, int64_t k_taps,
                       Activation act, const float* dy, int64_t n, float* g, float* dw, float* db) {
  const activations::D d;
  activations::with_activation(act, [&](auto f) HWY_ATTR {
    for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
      const int64_t m = n - i;
      auto sum = b ? load_n(d, b + i, m) : hn::Zero(d);
      for (int64_t k = 0; k < k_taps; ++k)
        sum = vfma(load_n(d, w + k * n + i, m), load_n(d, taps[k] + i, m), sum);
      const auto grad = hn::Mul(load_n(d, dy + i, m), f.slope(sum));
      store_n(d, grad, g + i, m);
      if (dw)
        for (int64_t k = 0; k < k_taps; ++k) {
          float* at = dw + k * n + i;
          store_n(d, vfma(grad, load_n(d, taps[k] + i, m), load_n(d, at, m)), at, m);
        }
      if (db) store_n(d, hn::Add(load_n(d, db + i, m), grad), db + i, m);
    }
  });
}

// The gradient of one input: of those tokens whose g is not null, and of a tail that it went to.
void conv_row_input(const float* const* g, const float* w, int64_t k_taps, const float* tail,
                    int64_t n, float* dx) {
  const hn::ScalableTag<float> d;
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const int64_t m = n - i;
    auto sum = tail ? load_n(d, tail + i, m) : hn::Zero(d);
    for (int64_t k = 0; k < k_taps; ++k)
      if (g[k]) sum = vfma(load_n(d, w + k * n + i, m), load_n(d, g[k] + i, m), sum);
    store_n(d, sum, dx + i, m);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(conv_row);
STEMMA_LEVELS(conv_row_backward);
STEMMA_LEVELS(conv_row_input);

constexpr int64_t kMostTaps = 32;
using Taps = std::array<const float*, kMostTaps>;

struct Conv {
  Tensor x, w, b, past;  // past [S,K-1,C]: the tails, where they are packed
  PoolVector<int32_t> start;
  Activation act;
  bool carries = false;
  PoolVector<Tensor> in = {}, out = {};  // the tails, one by one
  Tensor y = {}, last = {};              // last [S,K-1,C], where `past` is

  int64_t taps() const { return w.extent(1); }
  int64_t channels() const { return w.extent(0); }
  Shape tail() const { return {taps() - 1, channels()}; }
};

void define(Ctx& c, Conv& p) {
  const int64_t before = p.taps() - 1;
  const Tensor past = p.past ? p.past : p.carries ? pack(c, p.in, p.tail(), p.x.dtype()) : Tensor();
  std::vector<Tensor> rows, tails;
  for (size_t s = 0; s + 1 < p.start.size(); ++s) {
    const int64_t begin = p.start[s], length = p.start[s + 1] - begin;
    const int64_t at = static_cast<int64_t>(s);
    const Tensor old = past ? reshape(c, slice(c, past, 0, at, at + 1), p.tail())
                            : Tensor::zeros(c, p.tail(), p.x.dtype());
    const Tensor all = concat(c, {old, slice(c, p.x, 0, begin, begin + length)}, 0);
    Tensor sum;
    for (int64_t k = 0; k < p.taps(); ++k) {
      const Tensor w = reshape(c, slice(c, p.w, 1, k, k + 1), {p.channels()});
      const Tensor term = mul(c, slice(c, all, 0, k, k + length), w);
      sum = sum ? add(c, sum, term) : term;
    }
    rows.push_back(p.b ? add(c, sum, p.b) : sum);
    tails.push_back(slice(c, all, 0, length, length + before));
  }
  p.y = activation(c, concat(c, rows, 0), p.act);
  if (p.past) p.last = pack(c, tails, p.tail(), p.x.dtype());
  if (p.carries && !p.past)
    for (const Tensor& tail : tails) p.out.push_back(contiguous(c, tail));
}

// Weights with the taps outside: [K,C].
Tensor by_tap(Ctx& c, const Tensor& w) {
  const int64_t n = w.extent(0), taps = w.extent(1);
  const Tensor t = Tensor::empty(c, {taps, n});
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < taps; ++k) t.data<float>()[k * n + i] = rows::at(w, i)[k];
  return t;
}

// Where the inputs of a token lie.
class Inputs {
 public:
  Inputs(Ctx& c, const Conv& p) : p_(p), zeros_(Tensor::zeros(c, {p.channels()})) {}
  // Input number `at` of sequence s, from -(K-1) on.
  const float* row(size_t s, int64_t at) const {
    if (at >= 0) return rows::at(p_.x, p_.start[s] + at);
    if (p_.in.empty() || !p_.in[s]) return zeros_.data<float>();
    return rows::at(p_.in[s], at + p_.taps() - 1);
  }
  Taps taps(size_t s, int64_t token) const {
    Taps t;
    for (int64_t k = 0; k < p_.taps(); ++k)
      t[static_cast<size_t>(k)] = row(s, token - p_.taps() + 1 + k);
    return t;
  }

 private:
  const Conv& p_;
  Tensor zeros_;
};

// fn(sequence, its token) for the rows [begin, end) of the batch.
template <class F>
void each_token(const PoolVector<int32_t>& start, int64_t begin, int64_t end, F fn) {
  size_t s = 0;
  for (int64_t row = begin; row < end; ++row) {
    while (start[s + 1] <= row) ++s;
    fn(s, row - start[s]);
  }
}

void forward(Ctx& c, Conv& p, bool) {
  const int64_t n = p.channels(), taps = p.taps(), tokens = p.x.extent(0);
  if (p.past) {
    p.in = unpack(c, p.past);
    p.last = Tensor::empty(c, p.past.shape());
    p.out = unpack(c, p.last);
  } else if (p.carries) {
    for (size_t s = 0; s + 1 < p.start.size(); ++s) p.out.push_back(Tensor::empty(c, p.tail()));
  }
  p.y = Tensor::empty(c, {tokens, n});
  const Inputs inputs(c, p);
  const Tensor w = by_tap(c, p.w);
  const float* b = rows::data_or_null(p.b);
  const auto row = STEMMA_AT_LEVEL(conv_row);
  c.team->run_range(tokens, rows::grain(n * taps), [&](int64_t begin, int64_t end) {
    each_token(p.start, begin, end, [&](size_t s, int64_t token) {
      row(inputs.taps(s, token).data(), w.data<float>(), b, taps, p.act, n,
          rows::at(p.y, p.start[s] + token));
    });
  });
  for (size_t s = 0; s < p.out.size(); ++s)
    for (int64_t k = 0; k + 1 < taps; ++k)
      std::memcpy(p.out[s].data<float>() + k * n,
                  inputs.row(s, p.start[s + 1] - p.start[s] - taps + 1 + k),
                  static_cast<size_t>(n) * sizeof(float));
}

void backward(Ctx& c, const Conv& p, std::span<const Tensor> d, Grads& g) {
  const int64_t n = p.channels(), taps = p.taps(), tokens = p.x.extent(0);
  const Tensor dy = d[0] ? d[0] : Tensor::zeros(c, {tokens, n});
  const Inputs inputs(c, p);
  const Tensor w = by_tap(c, p.w), slopes = Tensor::empty(c, {tokens, n});
  const float* b = rows::data_or_null(p.b);
  const bool wants_w = g.wants(p.w), wants_b = g.wants(p.b);
  const rows::Partials partials(c, tokens, wants_w || wants_b ? (taps + 1) * n : 0);
  const auto back = STEMMA_AT_LEVEL(conv_row_backward);
  c.team->run_range(tokens, partials.grain(), [&](int64_t begin, int64_t end) {
    float* sums = partials.piece(begin);
    each_token(p.start, begin, end, [&](size_t s, int64_t token) {
      const int64_t at = p.start[s] + token;
      back(inputs.taps(s, token).data(), w.data<float>(), b, taps, p.act, rows::at(dy, at), n,
           rows::at(slopes, at), wants_w ? sums : nullptr, wants_b ? sums + taps * n : nullptr);
    });
  });
  if (wants_w) {
    const Tensor dw = Tensor::zeros(c, {taps, n});
    partials.add_to(c, 0, taps * n, dw.data<float>());
    g.add(c, p.w, contiguous(c, transpose(c, dw, 0, 1)));
  }
  if (wants_b) partials.add_to(c, taps * n, n, g.into(c, p.b).data<float>());
  if (!g.wants(p.x) && !g.wants(p.past)) return;

  const auto input = STEMMA_AT_LEVEL(conv_row_input);
  // The gradient of input number `at` of sequence s.
  auto input_gradient = [&](size_t s, int64_t at, float* to) {
    const int64_t length = p.start[s + 1] - p.start[s];
    Taps from;
    for (int64_t k = 0; k < taps; ++k) {
      const int64_t token = at + taps - 1 - k;
      from[static_cast<size_t>(k)] =
          token >= 0 && token < length ? rows::at(slopes, p.start[s] + token) : nullptr;
    }
    const int64_t in_tail = at - (length - taps + 1);
    const float* tail =
        d[1] && in_tail >= 0
            ? d[1].data<float>() + (static_cast<int64_t>(s) * (taps - 1) + in_tail) * n
            : nullptr;
    input(from.data(), w.data<float>(), taps, tail, n, to);
  };
  const Tensor dx = Tensor::empty(c, {tokens, n});
  c.team->run_range(tokens, rows::grain(n * taps), [&](int64_t begin, int64_t end) {
    each_token(p.start, begin, end, [&](size_t s, int64_t token) {
      input_gradient(s, token, rows::at(dx, p.start[s] + token));
    });
  });
  g.add(c, p.x, dx);
  if (!g.wants(p.past)) return;
  const Tensor dpast = Tensor::empty(c, p.past.shape());
  for (size_t s = 0; s + 1 < p.start.size(); ++s)
    for (int64_t k = 0; k + 1 < taps; ++k)
      input_gradient(s, k - taps + 1,
                     dpast.data<float>() + (static_cast<int64_t>(s) * (taps - 1) + k) * n);
  g.add(c, p.past, dpast);
}

Ints three_sequences(int64_t rows) {
  const auto end = static_cast<int32_t>(rows);
  return {0, end / 4, end / 4 + std::min(1, end), end};
}

std::vector<OpCase> cases() {
  auto inputs = [](int64_t taps) {
    return [taps](int64_t rows, int64_t n) {
      return std::vector{OpInput::real({rows, n}), OpInput::real({n, taps}), OpInput::real({n})};
    };
  };
  return {{.name = "from_the_beginning",
           .inputs = inputs(4),
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {causal_conv(c, in[0], in[1], in[2], three_sequences(in[0].extent(0)),
                                 Activation::silu)};
           },
           .timed = true},
          {.name = "going_on",
           .inputs =
               [](int64_t rows, int64_t n) {
                 return std::vector{OpInput::real({rows, n}), OpInput::real({n, 3}),
                                    OpInput::real({3, 2, n})};
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             Carried tails{unpack(c, in[2]), {}};
             const Tensor y = causal_conv(c, in[0], in[1], {}, three_sequences(in[0].extent(0)),
                                          Activation::gelu, &tails);
             return {y, tails.out[0], tails.out[1], tails.out[2]};
           }},
          {.name = "one_tap", .inputs = inputs(1), .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {causal_conv(c, in[0], in[1], in[2], three_sequences(in[0].extent(0)),
                                 Activation::identity)};
           }}};
}

const Op<Conv> kConv{{.name = "causal_conv",
                      .operands = {&Conv::x, &Conv::w, &Conv::b, &Conv::past},
                      .results = {&Conv::y, &Conv::last},
                      .reads = rows::apart,
                      .define = define,
                      .forward = {{"rows", forward}},
                      .backward = {{"rows", backward}},
                      .cases = cases}};

}  // namespace

Tensor causal_conv(Ctx& c, const Tensor& x, const Tensor& w, const Tensor& b, const Ints& start,
                   Activation act, Carried* tails) {
  check(x.rank() == 2 && w.rank() == 2 && w.extent(0) == x.extent(1), "[causal_conv] x ",
        x.shape().to_string(), " and w ", w.shape().to_string(), "; they must be [T,C] and [C,K]");
  check(w.extent(1) >= 1 && w.extent(1) <= kMostTaps, "[causal_conv] ", w.extent(1),
        " taps; there must be 1 to ", kMostTaps);
  rows::check_width("causal_conv", "b", x, b);
  check(start.size() > 1 && start.back() == x.extent(0), "[causal_conv] the sequences have ",
        start.empty() ? 0 : start.back(), " tokens, x has ", x.extent(0));
  Conv p{.x = x,
         .w = w,
         .b = b,
         .past = {},
         .start = {start.begin(), start.end(), c.pool},
         .act = act};
  if (tails) {
    check_carried("causal_conv", tails->in, start.size() - 1, p.tail());
    p.carries = true;
    p.out = PoolVector<Tensor>(c.pool);
    if (c.tape)
      p.past = pack(c, tails->in, p.tail(), x.dtype());
    else
      p.in = tails->in;
  }
  Conv done = kConv(c, std::move(p));
  if (tails) tails->out = done.last ? unpack(c, done.last) : std::move(done.out);
  return done.y;
}

}  // namespace stemma
#endif
