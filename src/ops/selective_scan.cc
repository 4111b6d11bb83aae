// The state of a head stays in cache while its tokens pass, block by block; the columns N lie in
// lanes, and y is their sum in sixteen running sums. The recurrence is run as it stands, token
// after token, so that no cut of a sequence changes a bit. Gradient, with u = dt x, a = exp(dt A),
// and G_t that of h_t (of a state that goes out at first):
//   G_t = dy_t C_t^T + a_{t+1} G_{t+1};   dC_t = sum over rows of dy_t h_t;
//   dB_t = sum over rows of u_t G_t;      s_t = G_t B_t;   dx_t = dt_t s_t + D dy_t;
//   r_t = a_t sum of G_t h_{t-1} (over what shares a decay);
//   ddt_t = x_t s_t + sum of r_t A;       dA = sum over t of r_t dt_t;   da_log = A dA;
//   dD = sum over t of x_t dy_t;          the gradient of the state that came in is a_1 G_1.
// The states are computed again: once from the beginning, keeping the one before each block, then
// block by block backwards, keeping all of a block's.
#include "ops/selective_scan.h"

#include <cstring>

#include "ops/op.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/selective_scan.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

// Highway includes this file once per level; what all levels share is declared the first time.
#ifndef STEMMA_OPS_SELECTIVE_SCAN_HEAD_
#define STEMMA_OPS_SELECTIVE_SCAN_HEAD_
namespace stemma {
namespace {

constexpr int64_t kBlock = 64;  // tokens

// One head of one sequence. What has a step is a column of a matrix: so far is the next token.
struct ScanHead {
  int64_t rows, columns;  // P, N of the state
  int64_t decays;         // 1 or N
  float d;
  const float* a_log;  // [decays]
  const float *x, *dt, *b, *c;
  int64_t x_step, dt_step, b_step, c_step;
};

// What a block of tokens needs: the decays' rates, and the decays and steps of its tokens.
struct ScanDecays {
  float *a, *decay, *dt;  // [decays], [kBlock, decays], [kBlock]
};

struct ScanHeadGrads {
  const float* dy;
  float *dx, *ddt;
  int64_t dy_step, dx_step, ddt_step;
  float *db, *dc;      // [tokens, N], added to
  float *da_log, *dd;  // [decays], [1]
  float* state;        // [P,N]: the gradient of h before the block, and behind it at first
};

}  // namespace
}  // namespace stemma
#endif

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

void scan_rates(const ScanHead& head, float* a) {
  const D d;
  for (int64_t i = 0; i < head.decays; i += static_cast<int64_t>(hn::Lanes(d))) {
    const int64_t m = head.decays - i;
    store_n(d, hn::Neg(vexp(d, load_n(d, head.a_log + i, m))), a + i, m);
  }
}

// The steps of the tokens [begin, begin + count), and exp(dt A).
void scan_decays(const ScanHead& head, int64_t begin, int64_t count, const ScanDecays& to) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t t = 0; t < count; ++t) to.dt[t] = head.dt[(begin + t) * head.dt_step];
  if (head.decays == 1) {
    const auto a = hn::Set(d, to.a[0]);
    for (int64_t t = 0; t < count; t += lanes)
      store_n(d, vexp(d, hn::Mul(load_n(d, to.dt + t, count - t), a)), to.decay + t, count - t);
    return;
  }
  for (int64_t t = 0; t < count; ++t) {
    const auto dt = hn::Set(d, to.dt[t]);
    float* row = to.decay + t * head.decays;
    for (int64_t i = 0; i < head.decays; i += lanes) {
      const int64_t m = head.decays - i;
      store_n(d, vexp(d, hn::Mul(dt, load_n(d, to.a + i, m))), row + i, m);
    }
  }
}

// The decay of some columns at token t of the block.
template <bool kEach>
HWY_INLINE V decay_of(const ScanHead& head, const ScanDecays& at, int64_t t, int64_t i, int64_t m) {
  const D d;
  if constexpr (kEach) return load_n(d, at.decay + t * head.decays + i, m);
  return hn::Set(d, at.decay[t]);
}

// Runs the tokens [begin, begin + count) of one row: h is its state, before and after.
template <bool kEach>
void scan_row(const ScanHead& head, const ScanDecays& at, int64_t row, int64_t begin, int64_t count,
              float* h, float* y, int64_t y_step) {
  const D d;
  for (int64_t t = 0; t < count; ++t) {
    const int64_t token = begin + t;
    const float x = head.x[token * head.x_step + row];
    const auto u = hn::Set(d, at.dt[t] * x);
    const float *b = head.b + token * head.b_step, *c = head.c + token * head.c_step;
    const float sum = sum16(d, head.columns, [&](int64_t i, int64_t m) HWY_ATTR {
      const auto kept = hn::Mul(decay_of<kEach>(head, at, t, i, m), load_n(d, h + i, m));
      const auto now = vfma(u, load_n(d, b + i, m), kept);
      store_n(d, now, h + i, m);
      return hn::Mul(now, load_n(d, c + i, m));
    });
    y[token * y_step + row] = sum + head.d * x;
  }
}

// h [P,N] is the state before the block, and then behind it.
void scan_block(const ScanHead& head, const ScanDecays& scratch, int64_t begin, int64_t count,
                float* h, float* y, int64_t y_step) {
  scan_rates(head, scratch.a);
  scan_decays(head, begin, count, scratch);
  for (int64_t row = 0; row < head.rows; ++row, h += head.columns)
    if (head.decays == 1)
      scan_row<false>(head, scratch, row, begin, count, h, y, y_step);
    else
      scan_row<true>(head, scratch, row, begin, count, h, y, y_step);
}

// One row of the block backwards. states [kBlock + 1, N] becomes the row's states, r [kBlock, N]
// gathers G h.
template <bool kEach>
void scan_row_backward(const ScanHead& head, const ScanDecays& at, int64_t row, int64_t begin,
                       int64_t count, const float* before, const ScanHeadGrads& g, float* states,
                       float* r) {
  const D d;
  const int64_t n = head.columns, lanes = static_cast<int64_t>(hn::Lanes(d));
  std::memcpy(states, before, static_cast<size_t>(n) * sizeof(float));
  for (int64_t t = 0; t < count; ++t) {
    const int64_t token = begin + t;
    const auto u = hn::Set(d, at.dt[t] * head.x[token * head.x_step + row]);
    const float *b = head.b + token * head.b_step, *h = states + t * n;
    for (int64_t i = 0; i < n; i += lanes) {
      const int64_t m = n - i;
      const auto kept = hn::Mul(decay_of<kEach>(head, at, t, i, m), load_n(d, h + i, m));
      store_n(d, vfma(u, load_n(d, b + i, m), kept), states + (t + 1) * n + i, m);
    }
  }
  float* state = g.state + row * n;
  for (int64_t t = count - 1; t >= 0; --t) {
    const int64_t token = begin + t;
    const float x = head.x[token * head.x_step + row], dt = at.dt[t];
    const float slope = g.dy[token * g.dy_step + row];
    const auto dy = hn::Set(d, slope), u = hn::Set(d, dt * x);
    const float *b = head.b + token * head.b_step, *c = head.c + token * head.c_step;
    float *db = g.db + token * n, *dc = g.dc + token * n;
    const float s = sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
      const auto grad = vfma(dy, load_n(d, c + i, m), load_n(d, state + i, m));
      store_n(d, vfma(dy, load_n(d, states + (t + 1) * n + i, m), load_n(d, dc + i, m)), dc + i, m);
      store_n(d, vfma(u, grad, load_n(d, db + i, m)), db + i, m);
      float* to = r + t * n + i;
      store_n(d, vfma(grad, load_n(d, states + t * n + i, m), load_n(d, to, m)), to, m);
      store_n(d, hn::Mul(decay_of<kEach>(head, at, t, i, m), grad), state + i, m);
      return hn::Mul(grad, load_n(d, b + i, m));
    });
    g.dx[token * g.dx_step + row] = dt * s + head.d * slope;
    g.ddt[token * g.ddt_step] += x * s;
    *g.dd += x * slope;
  }
}

void scan_block_backward(const ScanHead& head, const ScanDecays& scratch, int64_t begin,
                         int64_t count, const float* before, const ScanHeadGrads& g, float* states,
                         float* r) {
  const D d;
  const int64_t n = head.columns, lanes = static_cast<int64_t>(hn::Lanes(d));
  scan_rates(head, scratch.a);
  scan_decays(head, begin, count, scratch);
  std::memset(r, 0, static_cast<size_t>(count * n) * sizeof(float));
  for (int64_t t = 0; t < count; ++t) g.ddt[(begin + t) * g.ddt_step] = 0;
  for (int64_t row = 0; row < head.rows; ++row, before += n)
    if (head.decays == 1)
      scan_row_backward<false>(head, scratch, row, begin, count, before, g, states, r);
    else
      scan_row_backward<true>(head, scratch, row, begin, count, before, g, states, r);
  for (int64_t t = 0; t < count; ++t) {
    const float* rt = r + t * n;
    float& ddt = g.ddt[(begin + t) * g.ddt_step];
    if (head.decays == 1) {
      const float all = scratch.decay[t] * sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
                          return load_n(d, rt + i, m);
                        });
      ddt += all * scratch.a[0];
      *g.da_log += all * scratch.dt[t];
      continue;
    }
    const auto dt = hn::Set(d, scratch.dt[t]);
    ddt += sum16(d, n, [&](int64_t i, int64_t m) HWY_ATTR {
      const auto all = hn::Mul(load_n(d, scratch.decay + t * n + i, m), load_n(d, rt + i, m));
      float* to = g.da_log + i;
      store_n(d, vfma(all, dt, load_n(d, to, m)), to, m);
      return hn::Mul(all, load_n(d, scratch.a + i, m));
    });
  }
  if (begin > 0) return;
  for (int64_t i = 0; i < head.decays; i += lanes) {  // from dA to da_log
    const int64_t m = head.decays - i;
    store_n(d, hn::Mul(load_n(d, g.da_log + i, m), load_n(d, scratch.a + i, m)), g.da_log + i, m);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(scan_block);
STEMMA_LEVELS(scan_block_backward);

struct Scan {
  Tensor x, dt, a_log, b, c, d, past;  // past [S,H,P,N]: the states, where they are packed
  int64_t groups;
  Ints start;
  bool carries = false;
  std::vector<Tensor> in = {}, out = {};  // the states, one by one
  Tensor y = {}, last = {};               // last [S,H,P,N], where `past` is

  int64_t heads() const { return dt.extent(1); }
  int64_t rows() const { return x.extent(1) / heads(); }
  int64_t columns() const { return b.extent(1) / groups; }
  int64_t sequences() const { return static_cast<int64_t>(start.size()) - 1; }
  int64_t begin(int64_t s) const { return start[static_cast<size_t>(s)]; }
  int64_t tokens(int64_t s) const { return begin(s + 1) - begin(s); }
  // The state that sequence s begins at; null: zeros.
  const Tensor* before(int64_t s) const {
    const auto at = static_cast<size_t>(s);
    return in.empty() || !in[at] ? nullptr : &in[at];
  }
  Shape state() const { return {heads(), rows(), columns()}; }
};

void define(Ctx& c, Scan& p) {
  const int64_t heads = p.heads(), rows = p.rows(), n = p.columns(), in_group = heads / p.groups;
  const Tensor past = p.past      ? p.past
                      : p.carries ? pack(c, p.in, p.state(), p.x.dtype())
                                  : Tensor();
  const Tensor rates =
      reshape(c, neg(c, exp(c, p.a_log)), {p.groups, in_group, 1, p.a_log.extent(1)});
  std::vector<Tensor> ys, states;
  for (size_t s = 0; s + 1 < p.start.size(); ++s) {
    const auto at = static_cast<int64_t>(s);
    const Shape state = {p.groups, in_group, rows, n};
    Tensor h = past ? reshape(c, slice(c, past, 0, at, at + 1), state)
                    : Tensor::zeros(c, state, p.x.dtype());
    for (int64_t t = p.start[s]; t < p.start[s + 1]; ++t) {
      auto token = [&](const Tensor& all, Shape shape) {
        return reshape(c, slice(c, all, 0, t, t + 1), shape);
      };
      const Tensor dt = token(p.dt, {p.groups, in_group, 1, 1});
      const Tensor x = token(p.x, {p.groups, in_group, rows, 1});
      const Tensor in = mul(c, mul(c, dt, x), token(p.b, {p.groups, 1, 1, n}));
      h = add(c, mul(c, exp(c, mul(c, dt, rates)), h), in);
      Tensor y = sum(c, mul(c, h, token(p.c, {p.groups, 1, 1, n})), -1);
      if (p.d) y = add(c, y, mul(c, x, reshape(c, p.d, {p.groups, in_group, 1, 1})));
      ys.push_back(reshape(c, y, {1, heads * rows}));
    }
    states.push_back(reshape(c, h, p.state()));
  }
  p.y = concat(c, ys, 0);
  if (p.past) p.last = pack(c, states, p.state(), p.x.dtype());
  if (p.carries && !p.past) p.out = states;
}

// Head number h of sequence s; its first token is the sequence's.
ScanHead head_of(const Scan& p, int64_t s, int64_t h) {
  const int64_t begin = p.begin(s), n = p.columns();
  const int64_t group = h / (p.heads() / p.groups);
  auto step = [](const Tensor& t) { return t.strides()[0]; };
  return {.rows = p.rows(),
          .columns = n,
          .decays = p.a_log.extent(1),
          .d = p.d ? p.d.data<float>()[h] : 0,
          .a_log = rows::at(p.a_log, h),
          .x = rows::at(p.x, begin) + h * p.rows(),
          .dt = rows::at(p.dt, begin) + h,
          .b = rows::at(p.b, begin) + group * n,
          .c = rows::at(p.c, begin) + group * n,
          .x_step = step(p.x),
          .dt_step = step(p.dt),
          .b_step = step(p.b),
          .c_step = step(p.c)};
}

// Memory that a thread computes in: pieces of one buffer.
class Scratch {
 public:
  Scratch(Ctx& c, int64_t floats) : all_(Tensor::empty(c, {floats})), at_(all_.data<float>()) {}
  float* take(int64_t floats) {
    float* piece = at_;
    at_ += floats;
    return piece;
  }
  static int64_t of_decays(const Scan& p) { return p.a_log.extent(1) * (kBlock + 1) + kBlock; }
  ScanDecays decays(const Scan& p) {
    const int64_t n = p.a_log.extent(1);
    return {take(n), take(kBlock * n), take(kBlock)};
  }

 private:
  Tensor all_;
  float* at_;
};

// Heads next to each other whose channels fill a line of x and y.
int64_t neighbours(const Scan& p) { return std::max<int64_t>(1, 16 / p.rows()); }

void forward(Ctx& c, Scan& p, bool) {
  const int64_t heads = p.heads(), size = p.rows() * p.columns();
  if (p.past) {
    p.in = unpack(c, p.past);
    p.last = Tensor::empty(c, p.past.shape());
    p.out = unpack(c, p.last);
  } else {
    for (int64_t s = 0; s < p.sequences(); ++s) p.out.push_back(Tensor::empty(c, p.state()));
  }
  p.y = Tensor::empty(c, p.x.shape());
  const int64_t mean = p.x.extent(0) / p.sequences() + 1;
  const int64_t piece = std::max(neighbours(p), rows::grain(mean * size));
  const int64_t pieces = (heads + piece - 1) / piece;
  const auto run = STEMMA_AT_LEVEL(scan_block);
  c.team->run(p.sequences() * pieces, [&](int64_t unit) {
    const int64_t s = unit / pieces, first = unit % pieces * piece;
    const int64_t last = std::min(heads, first + piece), tokens = p.tokens(s);
    const Tensor *in = p.before(s), &out = p.out[static_cast<size_t>(s)];
    float* h = out.data<float>() + first * size;
    const auto bytes = static_cast<size_t>((last - first) * size) * sizeof(float);
    if (in)
      std::memcpy(h, in->data<float>() + first * size, bytes);
    else
      std::memset(h, 0, bytes);
    Scratch scratch(c, Scratch::of_decays(p));
    const ScanDecays decays = scratch.decays(p);
    for (int64_t begin = 0; begin < tokens; begin += kBlock)
      for (int64_t i = first; i < last; ++i)
        run(head_of(p, s, i), decays, begin, std::min(kBlock, tokens - begin),
            h + (i - first) * size, rows::at(p.y, p.begin(s)) + i * p.rows(), p.x.extent(1));
  });
  if (p.past || !p.carries) p.out.clear();
}

// Sums over the heads of a group, made by pieces of at most so many heads.
constexpr int64_t kMostPieces = 8;

// One backward: what all its threads share.
class Backward {
 public:
  Backward(Ctx& c, const Scan& p, std::span<const Tensor> d)
      : c_(c),
        p_(p),
        in_group_(p.heads() / p.groups),
        piece_((in_group_ + kMostPieces - 1) / kMostPieces),
        pieces_((in_group_ + piece_ - 1) / piece_),
        dy_(d[0] ? d[0] : Tensor::zeros(c, p.x.shape())),
        dlast_(d[1]),
        dx_(Tensor::empty(c, p.x.shape())),
        ddt_(Tensor::empty(c, p.dt.shape())),
        db_(Tensor::zeros(c, {pieces_, p.groups, p.x.extent(0), p.columns()})),
        dc_(Tensor::zeros(c, db_.shape())),
        da_log_(Tensor::zeros(c, {p.sequences(), p.heads() * p.a_log.extent(1)})),
        dd_(Tensor::zeros(c, {p.sequences(), p.heads()})),
        dpast_(p.past ? Tensor::empty(c, p.past.shape()) : Tensor()) {}

  void run() {
    const int64_t of_sequence = p_.groups * pieces_;
    c_.team->run(p_.sequences() * of_sequence, [&](int64_t unit) {
      const int64_t s = unit / of_sequence, group = unit % of_sequence / pieces_;
      const int64_t piece = unit % pieces_, tile = neighbours(p_);
      const int64_t end = group * in_group_ + std::min(in_group_, (piece + 1) * piece_);
      for (int64_t h = group * in_group_ + piece * piece_; h < end; h += tile)
        heads(s, group, piece, h, std::min(end, h + tile));
    });
  }

  void give(Grads& g) const {
    g.add(c_, p_.x, dx_);
    g.add(c_, p_.dt, ddt_);
    if (g.wants(p_.b)) g.add(c_, p_.b, summed(db_));
    if (g.wants(p_.c)) g.add(c_, p_.c, summed(dc_));
    if (g.wants(p_.a_log)) add_rows(da_log_, g.into(c_, p_.a_log));
    if (g.wants(p_.d)) add_rows(dd_, g.into(c_, p_.d));
    if (p_.past) g.add(c_, p_.past, dpast_);
  }

 private:
  // The heads [first, last) of a sequence, all of one group.
  void heads(int64_t s, int64_t group, int64_t piece, int64_t first, int64_t last) {
    const int64_t size = p_.rows() * p_.columns(), states = (last - first) * size;
    const int64_t tokens = p_.tokens(s), blocks = (tokens + kBlock - 1) / kBlock;
    const int64_t row_states = (kBlock + 1) * p_.columns(), r_size = kBlock * p_.columns();
    Scratch scratch(
        c_, Scratch::of_decays(p_) + (blocks + 2) * states + row_states + r_size + p_.rows());
    const ScanDecays decays = scratch.decays(p_);
    float *kept = scratch.take(blocks * states), *h = scratch.take(states);
    float *grad = scratch.take(states), *row = scratch.take(row_states), *r = scratch.take(r_size);
    float* no_y = scratch.take(p_.rows());
    const auto bytes = static_cast<size_t>(states) * sizeof(float);
    const int64_t place = (s * p_.heads() + first) * p_.rows() * p_.columns();

    if (const Tensor* in = p_.before(s))
      std::memcpy(h, in->data<float>() + first * size, bytes);
    else
      std::memset(h, 0, bytes);
    const auto forward = STEMMA_AT_LEVEL(scan_block);
    for (int64_t block = 0; block < blocks; ++block) {
      std::memcpy(kept + block * states, h, bytes);
      if (block + 1 == blocks) break;
      for (int64_t i = first; i < last; ++i)
        forward(head_of(p_, s, i), decays, block * kBlock, kBlock, h + (i - first) * size, no_y, 0);
    }

    if (dlast_)
      std::memcpy(grad, dlast_.data<float>() + place, bytes);
    else
      std::memset(grad, 0, bytes);
    const auto backward = STEMMA_AT_LEVEL(scan_block_backward);
    for (int64_t block = blocks - 1; block >= 0; --block)
      for (int64_t i = first; i < last; ++i)
        backward(head_of(p_, s, i), decays, block * kBlock,
                 std::min(kBlock, tokens - block * kBlock),
                 kept + block * states + (i - first) * size,
                 grads(s, group, piece, i, grad + (i - first) * size), row, r);
    if (dpast_) std::memcpy(dpast_.data<float>() + place, grad, bytes);
  }

  ScanHeadGrads grads(int64_t s, int64_t group, int64_t piece, int64_t head, float* state) const {
    const int64_t begin = p_.begin(s), n = p_.columns(), column = head * p_.rows();
    const int64_t sums = ((piece * p_.groups + group) * p_.x.extent(0) + begin) * n;
    return {.dy = rows::at(dy_, begin) + column,
            .dx = rows::at(dx_, begin) + column,
            .ddt = rows::at(ddt_, begin) + head,
            .dy_step = dy_.extent(1),
            .dx_step = dx_.extent(1),
            .ddt_step = ddt_.extent(1),
            .db = db_.data<float>() + sums,
            .dc = dc_.data<float>() + sums,
            .da_log = rows::at(da_log_, s) + head * p_.a_log.extent(1),
            .dd = rows::at(dd_, s) + head,
            .state = state};
  }

  // [pieces, G, T, N] to [T, G*N], the pieces added in ascending order.
  Tensor summed(const Tensor& pieces) const {
    return contiguous(
        c_,
        reshape(
            c_,
            permute(c_, reshape(c_, sum(c_, pieces, 0), {p_.groups, p_.x.extent(0), p_.columns()}),
                    {1, 0, 2}),
            p_.b.shape()));
  }
  void add_rows(const Tensor& each, const Tensor& to) const {
    float* out = to.data<float>();
    for (int64_t s = 0; s < each.extent(0); ++s)
      for (int64_t i = 0; i < each.extent(1); ++i) out[i] += rows::at(each, s)[i];
  }

  Ctx& c_;
  const Scan& p_;
  int64_t in_group_, piece_, pieces_;
  Tensor dy_, dlast_, dx_, ddt_, db_, dc_, da_log_, dd_, dpast_;
};

void backward(Ctx& c, const Scan& p, std::span<const Tensor> d, Grads& g) {
  Backward b(c, p, d);
  b.run();
  b.give(g);
}

Ints four_sequences(int64_t rows) {
  const auto end = static_cast<int32_t>(rows);
  return {0, end / 4, end / 4, end / 4 + std::min(1, end), end};
}

// Tokens for a case: one at least, and not so many that the definition takes long.
int64_t few(int64_t rows) { return std::clamp<int64_t>(rows, 1, 150); }

// x, dt, a_log, b, c, d and the states of four sequences.
std::vector<OpInput> inputs(int64_t tokens, int64_t heads, int64_t rows, int64_t decays, int64_t n,
                            int64_t groups) {
  return {OpInput::real({tokens, heads * rows}).between(-1, 1),
          OpInput::real({tokens, heads}).between(0.01, 1),
          OpInput::real({heads, decays}).between(-1, 1),
          OpInput::real({tokens, groups * n}).between(-1, 1),
          OpInput::real({tokens, groups * n}).between(-1, 1),
          OpInput::real({heads}),
          OpInput::real({4, heads, rows, n})};
}

ScanInputs scan_inputs(const Tensors& in, int64_t groups) {
  return {in[0], in[1], in[2], in[3], in[4], in[5], groups};
}

std::vector<OpCase> cases() {
  auto going_on = [](int64_t groups) {
    return [groups](Ctx& c, const Tensors& in) -> Tensors {
      Carried states{unpack(c, in[6]), {}};
      Tensors out = {
          selective_scan(c, scan_inputs(in, groups), four_sequences(in[0].extent(0)), &states)};
      out.insert(out.end(), states.out.begin(), states.out.end());
      return out;
    };
  };
  return {{.name = "by_channel",
           .inputs = [](int64_t rows, int64_t n) { return inputs(few(rows), n, 1, 5, 5, 1); },
           .run = going_on(1),
           .smallest = 1,
           .tolerance = 5e-6,
           .grad_tolerance = 3e-5},
          {.name = "by_head",
           .inputs = [](int64_t rows, int64_t n) { return inputs(few(rows), 4, 3, 1, n, 2); },
           .run = going_on(2),
           .smallest = 1,
           .tolerance = 5e-6,
           .grad_tolerance = 3e-5},
          {.name = "from_the_beginning",
           .inputs =
               [](int64_t rows, int64_t n) {
                 std::vector<OpInput> all = inputs(rows / 16 + 1, n, 1, 16, 16, 1);
                 all.pop_back();
                 return all;
               },
           .run = [](Ctx& c, const Tensors& in) -> Tensors {
             return {selective_scan(c, scan_inputs(in, 1), four_sequences(in[0].extent(0)))};
           },
           .smallest = 1,
           .tolerance = 5e-6,
           .grad_tolerance = 3e-5,
           .timed = true}};
}

const Op<Scan> kScan{
    {.name = "selective_scan",
     .operands = {&Scan::x, &Scan::dt, &Scan::a_log, &Scan::b, &Scan::c, &Scan::d, &Scan::past},
     .results = {&Scan::y, &Scan::last},
     .define = define,
     .forward = {{"blocks", forward}},
     .backward = {{"blocks", backward}},
     .cases = cases,
     .traits = {.rows_apart = true}}};

}  // namespace

Tensor selective_scan(Ctx& c, const ScanInputs& in, const Ints& start, Carried* states) {
  check(in.x.rank() == 2 && in.dt.rank() == 2 && in.a_log.rank() == 2 && in.b.rank() == 2,
        "[selective_scan] x, dt, a_log and b must be matrices");
  const int64_t tokens = in.x.extent(0), heads = in.dt.extent(1);
  check(heads > 0 && in.x.extent(1) % heads == 0 && in.dt.extent(0) == tokens &&
            in.a_log.extent(0) == heads,
        "[selective_scan] x ", in.x.shape().to_string(), ", dt ", in.dt.shape().to_string(),
        " and a_log ", in.a_log.shape().to_string(),
        "; they must be [T,H*P], [T,H] and [H,N] or [H,1]");
  check(in.groups > 0 && heads % in.groups == 0 && in.b.extent(0) == tokens &&
            in.b.extent(1) % in.groups == 0 && in.c.shape() == in.b.shape() &&
            (in.a_log.extent(1) == 1 || in.a_log.extent(1) == in.b.extent(1) / in.groups),
        "[selective_scan] b ", in.b.shape().to_string(), " and c ", in.c.shape().to_string(),
        " in ", in.groups, " groups for ", heads, " heads and a_log ", in.a_log.shape().to_string(),
        "; they must be [T,G*N]");
  check(!in.d || in.d.shape() == Shape{heads}, "[selective_scan] d has shape ",
        in.d.shape().to_string(), "; it must be [", heads, "]");
  check(tokens > 0 && start.size() > 1 && start.back() == tokens,
        "[selective_scan] the sequences have ", start.empty() ? 0 : start.back(), " tokens, x has ",
        tokens, "; they must be as many, and one at least");
  Scan p{.x = in.x,
         .dt = in.dt,
         .a_log = in.a_log,
         .b = in.b,
         .c = in.c,
         .d = in.d,
         .past = {},
         .groups = in.groups,
         .start = start};
  if (states) {
    check_carried("selective_scan", states->in, start, p.state());
    p.carries = true;
    if (c.tape)
      p.past = pack(c, states->in, p.state(), in.x.dtype());
    else
      p.in = states->in;
  }
  Scan done = kScan(c, std::move(p));
  if (states) states->out = done.last ? unpack(c, done.last) : std::move(done.out);
  return done.y;
}

}  // namespace stemma
#endif
