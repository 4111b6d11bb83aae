// A tile of sixteen channels lies in lanes; its state, [N,16], stays in cache while the tokens
// pass. The recurrence is run as it stands, token after token, so that no cut of a sequence changes
// a bit. Gradient, with u = dt x, a = exp(dt A), and G_t that of h_t (of a state that goes out at
// first):
//   G_t = dy_t C_t + a_{t+1} G_{t+1};     dC_t = sum over channels of dy_t h_t;
//   dB_t = sum over channels of u_t G_t;  s_t = G_t . B_t;   dx_t = dt_t s_t + D dy_t;
//   r_t = a_t G_t h_{t-1}, for each state number;
//   ddt_t = x_t s_t + sum of r_t A;       dA = sum of r_t dt_t;   da_log = A dA;
//   dD = sum of x_t dy_t (sums over what shares a step, a decay or a D);
//   the gradient of the state that came in is a_1 G_1.
// The states are computed again: once from the beginning, keeping the one before each block of
// tokens, then block by block backwards, keeping all of a block's.
#include "ops/selective_scan.h"

#include <cstring>

#include "ops/op.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/selective_scan.cc"
#include "simd/highway.h"
#include "simd/math-inl.h"

// Highway includes this file once per level; what all levels share is declared the first time.
#ifndef STEMMA_OPS_SELECTIVE_SCAN_TILE_
#define STEMMA_OPS_SELECTIVE_SCAN_TILE_
namespace stemma {
namespace {

constexpr int64_t kTile = 16;   // channels
constexpr int64_t kBlock = 32;  // tokens of which the backward keeps all states

// Channels of one head in one sequence. What has a step is a column of a matrix: so far is the next
// token.
struct ScanTile {
  int64_t width, columns;  // channels, N
  bool each;               // dt, a_log and d are each channel's, not the head's
  const float *x, *dt, *b, *c;
  int64_t x_step, dt_step, b_step, c_step;
  const float *a_log, *d;  // d may be null
  int64_t a_step;          // from channel to channel
};

// Gradients of a tile. Sums are added to; so is ddt where it is the head's.
struct ScanTileGrads {
  const float* dy;
  float *dx, *ddt;
  int64_t dy_step, dx_step, ddt_step;
  float *db, *dc;  // [tokens,N]
  float* da;       // [N,16], or [1] where the head has one
  float* dd;       // as d
  float* state;    // [N,16]: of the state behind the block; becomes that of the one before it
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

constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));

// A = -exp(a_log): [N,16], or one number.
void scan_rates(const ScanTile& tile, float* a) {
  const D d;
  const int64_t n = tile.columns, rows = tile.each ? n : 1, width = tile.each ? tile.width : 1;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < width; ++i) a[row * kTile + i] = tile.a_log[i * tile.a_step + row];
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < width; i += kLanes) {
      float* at = a + row * kTile + i;
      store_n(d, hn::Neg(vexp(d, load_n(d, at, width - i))), at, width - i);
    }
}

// The steps of a token, in the lanes of channels i on.
HWY_INLINE V step_of(const ScanTile& tile, int64_t token, int64_t i) {
  const D d;
  const float* dt = tile.dt + token * tile.dt_step;
  return tile.each ? load_n(d, dt + i, tile.width - i) : hn::Set(d, *dt);
}
HWY_INLINE V skip_of(const ScanTile& tile, int64_t i) {
  const D d;
  if (!tile.d) return hn::Zero(d);
  return tile.each ? load_n(d, tile.d + i, tile.width - i) : hn::Set(d, *tile.d);
}

// The channels i on of a tile, through all of its tokens. h [N,16].
template <bool kEach>
void scan_lanes(const ScanTile& tile, int64_t tokens, int64_t i, const float* a, float* h, float* y,
                int64_t y_step) {
  const D d;
  const int64_t m = tile.width - i, n = tile.columns;
  const V skip = skip_of(tile, i);
  for (int64_t t = 0; t < tokens; ++t) {
    const float *b = tile.b + t * tile.b_step, *c = tile.c + t * tile.c_step;
    const V x = load_n(d, tile.x + t * tile.x_step + i, m), dt = step_of(tile, t, i);
    const V u = hn::Mul(dt, x), shared = kEach ? dt : vexp(d, hn::Mul(dt, hn::Set(d, a[0])));
    V sums[4] = {hn::Mul(skip, x), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    auto column = [&](int64_t j, V& sum) HWY_ATTR {
      float* at = h + j * kTile + i;
      const V decay = kEach ? vexp(d, hn::Mul(dt, hn::LoadU(d, a + j * kTile + i))) : shared;
      const V now = vfma(u, hn::Set(d, b[j]), hn::Mul(decay, hn::LoadU(d, at)));
      hn::StoreU(now, d, at);
      sum = vfma(now, hn::Set(d, c[j]), sum);
    };
    int64_t j = 0;
    for (; j + 4 <= n; j += 4)
      for (int64_t k = 0; k < 4; ++k) column(j + k, sums[k]);
    for (int64_t k = 0; j < n; ++j, ++k) column(j, sums[k]);
    store_n(d, hn::Add(hn::Add(sums[0], sums[2]), hn::Add(sums[1], sums[3])), y + t * y_step + i,
            m);
  }
}

// A tile through `tokens` tokens: h [N,16] is the state before and after, a [N,16] is scratch.
void scan_tile(const ScanTile& tile, int64_t tokens, float* a, float* h, float* y, int64_t y_step) {
  scan_rates(tile, a);
  for (int64_t i = 0; i < tile.width; i += kLanes)
    if (tile.each)
      scan_lanes<true>(tile, tokens, i, a, h, y, y_step);
    else
      scan_lanes<false>(tile, tokens, i, a, h, y, y_step);
}

// The states of a block and what decays them: states [tokens + 1, N,16], of which the first is
// given, decay [tokens, N,16] or, where the head has one, [tokens].
void scan_states(const ScanTile& tile, int64_t tokens, const float* a, float* states,
                 float* decay) {
  const D d;
  const int64_t n = tile.columns;
  for (int64_t t = 0; t < tokens; ++t) {
    const float* b = tile.b + t * tile.b_step;
    for (int64_t i = 0; i < tile.width; i += kLanes) {
      const V x = load_n(d, tile.x + t * tile.x_step + i, tile.width - i);
      const V dt = step_of(tile, t, i), u = hn::Mul(dt, x);
      V by = tile.each ? dt : vexp(d, hn::Mul(dt, hn::Set(d, a[0])));
      if (!tile.each) decay[t] = hn::GetLane(by);
      for (int64_t j = 0; j < n; ++j) {
        const int64_t at = j * kTile + i;
        if (tile.each) {
          by = vexp(d, hn::Mul(dt, hn::LoadU(d, a + at)));
          hn::StoreU(by, d, decay + t * n * kTile + at);
        }
        const V kept = hn::Mul(by, hn::LoadU(d, states + t * n * kTile + at));
        hn::StoreU(vfma(u, hn::Set(d, b[j]), kept), d, states + (t + 1) * n * kTile + at);
      }
    }
  }
}

// The gradient of a block of a tile's tokens. states [kBlock + 1, N,16] begins with the state
// before the block; it and decay [kBlock, N,16] are scratch, a [N,16] the rates.
void scan_tile_backward(const ScanTile& tile, int64_t tokens, const float* a, float* states,
                        float* decay, const ScanTileGrads& g) {
  const D d;
  const int64_t n = tile.columns, width = tile.width;
  scan_states(tile, tokens, a, states, decay);
  for (int64_t t = tokens - 1; t >= 0; --t) {
    const float *b = tile.b + t * tile.b_step, *c = tile.c + t * tile.c_step;
    const float *x = tile.x + t * tile.x_step, *dy = g.dy + t * g.dy_step;
    const float *before = states + t * n * kTile, *behind = before + n * kTile;
    for (int64_t j = 0; j < n; ++j) {
      float* grad = g.state + j * kTile;
      const V out = hn::Set(d, c[j]);
      g.db[t * n + j] += sum16(d, width, [&](int64_t i, int64_t m) HWY_ATTR {
        const V now = vfma(load_n(d, dy + i, m), out, load_n(d, grad + i, m));
        store_n(d, now, grad + i, m);
        return hn::Mul(hn::Mul(step_of(tile, t, i), load_n(d, x + i, m)), now);
      });
      g.dc[t * n + j] += sum16(d, width, [&](int64_t i, int64_t m) HWY_ATTR {
        return hn::Mul(load_n(d, dy + i, m), load_n(d, behind + j * kTile + i, m));
      });
    }
    // Where the head has one step, r is a_t G_t . h_{t-1}.
    float r[kTile], along[kTile];
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t m = width - i;
      const V dt = step_of(tile, t, i);
      V s = hn::Zero(d), from_decay = hn::Zero(d);
      for (int64_t j = 0; j < n; ++j) {
        const int64_t at = j * kTile + i;
        const V grad = load_n(d, g.state + at, m), h = load_n(d, before + at, m);
        s = vfma(grad, hn::Set(d, b[j]), s);
        if (tile.each) {
          const V kept = hn::Mul(load_n(d, decay + t * n * kTile + at, m), grad);
          const V change = hn::Mul(kept, h);
          from_decay = vfma(change, load_n(d, a + at, m), from_decay);
          store_n(d, vfma(change, dt, load_n(d, g.da + at, m)), g.da + at, m);
          store_n(d, kept, g.state + at, m);
        } else {
          from_decay = vfma(grad, h, from_decay);
          store_n(d, hn::Mul(hn::Set(d, decay[t]), grad), g.state + at, m);
        }
      }
      const V slope = load_n(d, dy + i, m), in = load_n(d, x + i, m);
      store_n(d, vfma(dt, s, hn::Mul(skip_of(tile, i), slope)), g.dx + t * g.dx_step + i, m);
      if (tile.each) {
        store_n(d, vfma(in, s, from_decay), g.ddt + t * g.ddt_step + i, m);
        if (g.dd) store_n(d, vfma(in, slope, load_n(d, g.dd + i, m)), g.dd + i, m);
      } else {
        store_n(d, hn::Mul(hn::Set(d, decay[t]), from_decay), r + i, m);
        store_n(d, hn::Mul(in, s), along + i, m);
      }
    }
    if (tile.each) continue;
    auto total = [&](const float* of) {
      return sum16(d, width, [&](int64_t i, int64_t m) HWY_ATTR { return load_n(d, of + i, m); });
    };
    const float change = total(r);
    g.ddt[t * g.ddt_step] += total(along) + change * a[0];
    *g.da += change * tile.dt[t * tile.dt_step];
    if (g.dd)
      *g.dd += sum16(d, width, [&](int64_t i, int64_t m) HWY_ATTR {
        return hn::Mul(load_n(d, dy + i, m), load_n(d, x + i, m));
      });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stemma {
namespace {

STEMMA_LEVELS(scan_rates);
STEMMA_LEVELS(scan_tile);
STEMMA_LEVELS(scan_tile_backward);

struct Scan {
  Tensor x, dt, a_log, b, c, d, past;  // past [S,H,N,P]: the states, where they are packed
  int64_t heads, groups;
  PoolVector<int32_t> start;
  bool carries = false;
  PoolVector<Tensor> in = {}, out = {};  // the states, one by one
  Tensor y = {}, last = {};              // last [S,H,N,P], where `past` is

  bool each() const { return a_log.rank() == 2; }
  int64_t width() const { return x.extent(1); }
  int64_t head() const { return width() / heads; }
  int64_t columns() const { return b.extent(1) / groups; }
  Shape state() const { return {heads, columns(), head()}; }
  int64_t sequences() const { return static_cast<int64_t>(start.size()) - 1; }
  int64_t begin(int64_t s) const { return start[static_cast<size_t>(s)]; }
  int64_t tokens(int64_t s) const { return begin(s + 1) - begin(s); }
  // The state that sequence s begins at; null: zeros.
  const float* before(int64_t s) const {
    const auto at = static_cast<size_t>(s);
    return in.empty() ? nullptr : rows::data_or_null(in[at]);
  }
};

void define(Ctx& c, Scan& p) {
  const int64_t n = p.columns(), in_group = p.heads / p.groups, head = p.head();
  const Tensor past = p.past      ? p.past
                      : p.carries ? pack(c, p.in, p.state(), p.x.dtype())
                                  : Tensor();
  // Everything is seen as [G, heads of a group, N, P].
  const Shape channels = {p.groups, in_group, 1, head};
  const Shape of_step = p.each() ? channels : Shape{p.groups, in_group, 1, 1};
  const Shape state = {p.groups, in_group, n, head}, shared = {p.groups, 1, n, 1};
  const Tensor a = neg(c, exp(c, p.a_log));
  const Tensor rates = p.each()
                           ? permute(c, reshape(c, a, {p.groups, in_group, head, n}), {0, 1, 3, 2})
                           : reshape(c, a, of_step);
  std::vector<Tensor> ys, states;
  for (int64_t s = 0; s < p.sequences(); ++s) {
    Tensor h = past ? reshape(c, slice(c, past, 0, s, s + 1), state)
                    : Tensor::zeros(c, state, p.x.dtype());
    for (int64_t t = p.begin(s); t < p.begin(s + 1); ++t) {
      auto token = [&](const Tensor& all, Shape shape) {
        return reshape(c, slice(c, all, 0, t, t + 1), shape);
      };
      const Tensor x = token(p.x, channels), dt = token(p.dt, of_step);
      const Tensor input = mul(c, mul(c, dt, x), token(p.b, shared));
      h = add(c, mul(c, exp(c, mul(c, dt, rates)), h), input);
      Tensor y = sum(c, mul(c, h, token(p.c, shared)), 2);
      if (p.d) y = add(c, y, mul(c, x, reshape(c, p.d, of_step)));
      ys.push_back(reshape(c, y, {1, p.width()}));
    }
    states.push_back(reshape(c, h, p.state()));
  }
  p.y = concat(c, ys, 0);
  if (p.past) p.last = pack(c, states, p.state(), p.x.dtype());
  if (p.carries && !p.past) p.out.assign(states.begin(), states.end());
}

// How the channels are cut into tiles, each within a head.
struct Tiles {
  explicit Tiles(const Scan& p)
      : in_head((p.head() + kTile - 1) / kTile), in_group(in_head * (p.heads / p.groups)) {}
  int64_t in_head, in_group;
};

struct Place {
  int64_t head, first, width;  // the first channel counts from the head's
};
Place place_of(const Scan& p, int64_t tile) {
  const int64_t in_head = Tiles(p).in_head, first = tile % in_head * kTile;
  return {tile / in_head, first, std::min(kTile, p.head() - first)};
}

// A tile of sequence s, from its token `first` on.
ScanTile tile_of(const Scan& p, int64_t s, const Place& at, int64_t first = 0) {
  const int64_t row = p.begin(s) + first, n = p.columns(), channel = at.head * p.head() + at.first;
  const int64_t group = at.head / (p.heads / p.groups), own = p.each() ? channel : at.head;
  auto step = [](const Tensor& t) { return t.strides()[0]; };
  return {.width = at.width,
          .columns = n,
          .each = p.each(),
          .x = rows::at(p.x, row) + channel,
          .dt = rows::at(p.dt, row) + own,
          .b = rows::at(p.b, row) + group * n,
          .c = rows::at(p.c, row) + group * n,
          .x_step = step(p.x),
          .dt_step = step(p.dt),
          .b_step = step(p.b),
          .c_step = step(p.c),
          .a_log = p.each() ? rows::at(p.a_log, channel) : p.a_log.data<float>() + at.head,
          .d = p.d ? p.d.data<float>() + own : nullptr,
          .a_step = step(p.a_log)};
}

// Between a tile [N,16], zero beyond its width, and its place in a sequence's state [H,N,P]; a null
// state is zeros.
void take_tile(const Scan& p, const Place& at, const float* state, float* tile) {
  const int64_t n = p.columns(), step = p.head();
  std::memset(tile, 0, static_cast<size_t>(n * kTile) * sizeof(float));
  if (!state) return;
  for (int64_t j = 0; j < n; ++j)
    std::memcpy(tile + j * kTile, state + (at.head * n + j) * step + at.first,
                static_cast<size_t>(at.width) * sizeof(float));
}
void put_tile(const Scan& p, const Place& at, const float* tile, float* state) {
  const int64_t n = p.columns(), step = p.head();
  for (int64_t j = 0; j < n; ++j)
    std::memcpy(state + (at.head * n + j) * step + at.first, tile + j * kTile,
                static_cast<size_t>(at.width) * sizeof(float));
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

 private:
  Tensor all_;
  float* at_;
};

void forward(Ctx& c, Scan& p, bool) {
  const int64_t n = p.columns(), tiles = Tiles(p).in_head * p.heads;
  if (p.past) {
    p.in = unpack(c, p.past);
    p.last = Tensor::empty(c, p.past.shape());
    p.out = unpack(c, p.last);
  } else if (p.carries) {
    for (int64_t s = 0; s < p.sequences(); ++s) p.out.push_back(Tensor::empty(c, p.state()));
  }
  p.y = Tensor::empty(c, p.x.shape());
  const int64_t mean = p.x.extent(0) / p.sequences() + 1;
  const int64_t piece = rows::grain(mean * n * kTile), pieces = (tiles + piece - 1) / piece;
  const auto run = STEMMA_AT_LEVEL(scan_tile);
  c.team->run(p.sequences() * pieces, [&](int64_t unit) {
    const int64_t s = unit / pieces, first = unit % pieces * piece;
    Scratch scratch(c, 2 * n * kTile);
    float *a = scratch.take(n * kTile), *h = scratch.take(n * kTile);
    for (int64_t tile = first; tile < std::min(tiles, first + piece); ++tile) {
      const Place at = place_of(p, tile);
      take_tile(p, at, p.before(s), h);
      run(tile_of(p, s, at), p.tokens(s), a, h,
          rows::at(p.y, p.begin(s)) + at.head * p.head() + at.first, p.width());
      if (!p.out.empty()) put_tile(p, at, h, p.out[static_cast<size_t>(s)].data<float>());
    }
  });
  if (p.past) p.out.clear();
}

// Sums over the tiles of a group, made by at most so many pieces of it.
constexpr int64_t kMostPieces = 8;

// One backward: what all its threads share.
class Backward {
 public:
  Backward(Ctx& c, const Scan& p, std::span<const Tensor> d)
      : c_(c),
        p_(p),
        tiles_(p),
        // Tiles that share a step stay in one piece.
        together_(p.each() ? 1 : tiles_.in_head),
        piece_((tiles_.in_group / together_ + kMostPieces - 1) / kMostPieces * together_),
        pieces_((tiles_.in_group + piece_ - 1) / piece_),
        dy_(d[0] ? d[0] : Tensor::zeros(c, p.x.shape())),
        dlast_(d[1]),
        dx_(Tensor::empty(c, p.x.shape())),
        ddt_(Tensor::zeros(c, p.dt.shape())),
        db_(Tensor::zeros(c, {pieces_, p.groups, p.x.extent(0), p.columns()})),
        dc_(Tensor::zeros(c, db_.shape())),
        da_(Tensor::zeros(c, {p.sequences(), p.a_log.elements()})),
        dd_(Tensor::zeros(c, {p.sequences(), p.each() ? p.width() : p.heads})),
        dpast_(p.past ? Tensor::empty(c, p.past.shape()) : Tensor()) {}

  void run() {
    const int64_t of_sequence = p_.groups * pieces_, size = p_.columns() * kTile;
    c_.team->run(p_.sequences() * of_sequence, [&](int64_t unit) {
      const int64_t s = unit / of_sequence, group = unit % of_sequence / pieces_;
      const int64_t piece = unit % pieces_, begin = group * tiles_.in_group;
      const int64_t blocks = (p_.tokens(s) + kBlock - 1) / kBlock;
      Scratch scratch(c_, (blocks + 2 * kBlock + 5) * size + kTile);
      for (int64_t tile = piece * piece_; tile < std::min(tiles_.in_group, (piece + 1) * piece_);
           ++tile)
        one(s, group, piece, place_of(p_, begin + tile), Scratch(scratch));
    });
  }

  void give(Grads& g) const {
    g.add(c_, p_.x, dx_);
    g.add(c_, p_.dt, ddt_);
    if (g.wants(p_.b)) g.add(c_, p_.b, summed(db_));
    if (g.wants(p_.c)) g.add(c_, p_.c, summed(dc_));
    if (g.wants(p_.a_log)) add_rows(da_, g.into(c_, p_.a_log));
    if (g.wants(p_.d)) add_rows(dd_, g.into(c_, p_.d));
    if (p_.past) g.add(c_, p_.past, dpast_);
  }

 private:
  // One tile of a sequence.
  void one(int64_t s, int64_t group, int64_t piece, const Place& at, Scratch scratch) {
    const int64_t n = p_.columns(), size = n * kTile, tokens = p_.tokens(s);
    const int64_t blocks = (tokens + kBlock - 1) / kBlock, state = s * p_.state().elements();
    float *kept = scratch.take(blocks * size), *a = scratch.take(size), *h = scratch.take(size);
    float *states = scratch.take((kBlock + 1) * size), *decay = scratch.take(kBlock * size);
    float *grad = scratch.take(size), *da = scratch.take(size), *no_y = scratch.take(kTile);
    const auto bytes = static_cast<size_t>(size) * sizeof(float);

    take_tile(p_, at, p_.before(s), h);
    const auto forward = STEMMA_AT_LEVEL(scan_tile);
    for (int64_t block = 0; block < blocks; ++block) {
      std::memcpy(kept + block * size, h, bytes);
      if (block + 1 < blocks) forward(tile_of(p_, s, at, block * kBlock), kBlock, a, h, no_y, 0);
    }

    std::memset(da, 0, bytes);
    take_tile(p_, at, dlast_ ? dlast_.data<float>() + state : nullptr, grad);
    STEMMA_AT_LEVEL(scan_rates)(tile_of(p_, s, at), a);
    const auto backward = STEMMA_AT_LEVEL(scan_tile_backward);
    for (int64_t block = blocks - 1; block >= 0; --block) {
      const int64_t first = block * kBlock;
      std::memcpy(states, kept + block * size, bytes);
      backward(tile_of(p_, s, at, first), std::min(kBlock, tokens - first), a, states, decay,
               grads(s, group, piece, at, first, da, grad));
    }
    put_rates(s, at, a, da);
    if (dpast_) put_tile(p_, at, grad, dpast_.data<float>() + state);
  }

  ScanTileGrads grads(int64_t s, int64_t group, int64_t piece, const Place& at, int64_t first,
                      float* da, float* state) const {
    const int64_t row = p_.begin(s) + first, n = p_.columns();
    const int64_t channel = at.head * p_.head() + at.first, own = p_.each() ? channel : at.head;
    const int64_t sums = ((piece * p_.groups + group) * p_.x.extent(0) + row) * n;
    return {.dy = rows::at(dy_, row) + channel,
            .dx = rows::at(dx_, row) + channel,
            .ddt = rows::at(ddt_, row) + own,
            .dy_step = dy_.extent(1),
            .dx_step = dx_.extent(1),
            .ddt_step = ddt_.extent(1),
            .db = db_.data<float>() + sums,
            .dc = dc_.data<float>() + sums,
            .da = da,
            .dd = p_.d ? rows::at(dd_, s) + own : nullptr,
            .state = state};
  }

  // da_log = A dA, in the places of a tile.
  void put_rates(int64_t s, const Place& at, const float* a, const float* da) const {
    float* to = rows::at(da_, s);
    if (!p_.each()) {
      to[at.head] += a[0] * da[0];
      return;
    }
    const int64_t n = p_.columns(), channel = at.head * p_.head() + at.first;
    for (int64_t i = 0; i < at.width; ++i)
      for (int64_t j = 0; j < n; ++j)
        to[(channel + i) * n + j] = a[j * kTile + i] * da[j * kTile + i];
  }

  // [pieces, G, T, N] to [T, G*N], the pieces added in ascending order.
  Tensor summed(const Tensor& pieces) const {
    const Tensor total = reshape(c_, sum(c_, pieces, 0), {p_.groups, p_.x.extent(0), p_.columns()});
    return reshape(c_, contiguous(c_, permute(c_, total, {1, 0, 2})), p_.b.shape());
  }
  void add_rows(const Tensor& each, const Tensor& to) const {
    float* out = to.data<float>();
    for (int64_t s = 0; s < each.extent(0); ++s)
      for (int64_t i = 0; i < each.extent(1); ++i) out[i] += rows::at(each, s)[i];
  }

  Ctx& c_;
  const Scan& p_;
  Tiles tiles_;
  int64_t together_, piece_, pieces_;
  Tensor dy_, dlast_, dx_, ddt_, db_, dc_, da_, dd_, dpast_;
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
int64_t few(int64_t rows) { return std::clamp<int64_t>(rows, 1, 80); }

// x, dt, a_log, b, c, d, and the states of four sequences.
std::vector<OpInput> by_channel(int64_t tokens, int64_t width, int64_t n) {
  const OpInput shared = OpInput::real({tokens, n}).between(-1, 1);
  return {OpInput::real({tokens, width}).between(-1, 1),
          OpInput::real({tokens, width}).between(0.01, 1),
          OpInput::real({width, n}).between(-1, 1),
          shared,
          shared,
          OpInput::real({width}),
          OpInput::real({4, 1, n, width})};
}
std::vector<OpInput> by_head(int64_t tokens, int64_t heads, int64_t head, int64_t n,
                             int64_t groups) {
  const OpInput shared = OpInput::real({tokens, groups * n}).between(-1, 1);
  return {OpInput::real({tokens, heads * head}).between(-1, 1),
          OpInput::real({tokens, heads}).between(0.01, 1),
          OpInput::real({heads}).between(-1, 1),
          shared,
          shared,
          OpInput::real({heads}),
          OpInput::real({4, heads, n, head})};
}

std::vector<OpCase> cases() {
  auto inputs_of = [](const Tensors& in, int64_t heads, int64_t groups) {
    return ScanInputs{in[0], in[1], in[2], in[3], in[4], in[5], heads, groups};
  };
  auto going_on = [=](int64_t heads, int64_t groups) {
    return [=](Ctx& c, const Tensors& in) -> Tensors {
      Carried states{unpack(c, in[6]), {}};
      Tensors out = {selective_scan(c, inputs_of(in, heads, groups),
                                    four_sequences(in[0].extent(0)), &states)};
      out.insert(out.end(), states.out.begin(), states.out.end());
      return out;
    };
  };
  return {{.name = "by_channel",
           .inputs = [](int64_t rows, int64_t n) { return by_channel(few(rows), n, 5); },
           .run = going_on(1, 1),
           .smallest = 1,
           .tolerance = 5e-6,
           .grad_tolerance = 3e-5},
          {.name = "by_head",
           .inputs = [](int64_t rows, int64_t n) { return by_head(few(rows), 4, 3, n, 2); },
           .run = going_on(4, 2),
           .smallest = 1,
           .tolerance = 5e-6,
           .grad_tolerance = 3e-5},
          {.name = "by_wide_head",
           .inputs = [](int64_t rows, int64_t n) { return by_head(few(rows), 2, n, 6, 1); },
           .run = going_on(2, 1),
           .smallest = 1,
           .tolerance = 5e-6,
           .grad_tolerance = 3e-5},
          {.name = "from_the_beginning",
           .inputs =
               [](int64_t rows, int64_t n) {
                 std::vector<OpInput> all = by_channel(rows / 16 + 1, n, 16);
                 all.pop_back();
                 return all;
               },
           .run = [=](Ctx& c, const Tensors& in) -> Tensors {
             return {selective_scan(c, inputs_of(in, 1, 1), four_sequences(in[0].extent(0)))};
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
     .reads = rows::apart,
     .define = define,
     .forward = {{"tiles", forward}},
     .backward = {{"tiles", backward}},
     .cases = cases}};

}  // namespace

Tensor selective_scan(Ctx& c, const ScanInputs& in, const Ints& start, Carried* states) {
  check(in.x.rank() == 2 && in.heads > 0 && in.x.extent(1) % in.heads == 0,
        "[selective_scan] x has shape ", in.x.shape().to_string(), "; it must be [T,W], W in ",
        in.heads, " heads");
  const int64_t tokens = in.x.extent(0), width = in.x.extent(1);
  check(in.groups > 0 && in.heads % in.groups == 0 && in.b.rank() == 2 &&
            in.b.extent(0) == tokens && in.b.extent(1) % in.groups == 0 &&
            in.c.shape() == in.b.shape(),
        "[selective_scan] b ", in.b.shape().to_string(), " and c ", in.c.shape().to_string(),
        " for ", in.heads, " heads; they must be [T,G*N] in ", in.groups, " groups");
  const bool each = in.a_log.rank() == 2;
  const int64_t steps = each ? width : in.heads;
  check(in.a_log.shape() == (each ? Shape{width, in.b.extent(1) / in.groups} : Shape{steps}) &&
            in.dt.shape() == Shape{tokens, steps} && (!in.d || in.d.shape() == Shape{steps}),
        "[selective_scan] a_log ", in.a_log.shape().to_string(), ", dt ", in.dt.shape().to_string(),
        " and d ", in.d.shape().to_string(), " for ", width,
        " channels; they must be [W,N], [T,W], [W] or [H], [T,H], [H]");
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
         .heads = in.heads,
         .groups = in.groups,
         .start = {start.begin(), start.end(), c.pool}};
  if (states) {
    check_carried("selective_scan", states->in, start.size() - 1, p.state());
    p.carries = true;
    p.out = PoolVector<Tensor>(c.pool);
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
