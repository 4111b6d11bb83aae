// The specs of the parts of a model: what each layer is, as data. model/spec.h puts them together.
// Alternatives are variants, absences are optionals; no field names a family.
// Every struct has one visit_fields(self, visitor), the single source for JSON, equality, `stemma
// inspect` and the reference page. Letters: C width, H heads, D head size, F inner width, V
// vocabulary.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "ops/activation.h"
#include "ops/rope.h"
#include "ops/routing.h"

namespace stemma {

enum class NormKind { layer, rms };

struct Norm {
  NormKind kind = NormKind::layer;
  double eps = 1e-5;
  bool bias = true;     // of a LayerNorm; an RMSNorm has none
  bool offset = false;  // scales are kept as w - 1
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("kind", s.kind);
    v("eps", s.eps);
    v("bias", s.bias);
    v("offset", s.offset);
  }
};

// No position information inside attention.
struct NoPosition {
  template <class Self, class V>
  static void visit_fields(Self&, V&&) {}
};

// A bias learned for each head and bucket of distances, one table for all blocks of the stack, or
// one for each. Source: Raffel et al. 2020.
struct RelativeBuckets {
  bool bidirectional = false;
  int buckets = 32, max_distance = 128;
  bool shared = true;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("bidirectional", s.bidirectional);
    v("buckets", s.buckets);
    v("max_distance", s.max_distance);
    v("shared", s.shared);
  }
};

// Scores of Transformer-XL, of content, distance and segment, each with a bias of the query's own:
// (q + u) k + (q + v) W R(p - j) + (q + s) e(same segment), R(d) being sinusoids of C numbers. The
// last term is there where the batch names segments. Sources: Dai et al. 2019; Yang et al. 2019.
struct TransformerXl {
  int clamp = 0;  // farther distances count as this one; 0: each as it is
  // The second half of a batch is text that runs backwards: its distances count negative.
  bool halves_opposed = false;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("clamp", s.clamp);
    v("halves_opposed", s.halves_opposed);
  }
};

// Content and position taken apart: q k + q K(p - j) + k Q(p - j), K and Q being projections of one
// table of distances that all blocks of the stack share. Source: He et al. 2021.
struct Disentangled {
  bool content_to_position = true, position_to_content = true;  // the second term, the third
  int reach = 512;       // the table has 2 reach rows, for distances from -reach to reach - 1
  int max_distance = 0;  // beyond reach / 2, distances up to this one share rows, logarithmically;
                         // 0: each has its own
  bool shared = false;   // K and Q are the projections of the content
  bool k_bias = false, q_bias = false;  // of their own projections
  std::optional<Norm> norm;             // of the table
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("content_to_position", s.content_to_position);
    v("position_to_content", s.position_to_content);
    v("reach", s.reach);
    v("max_distance", s.max_distance);
    v("shared", s.shared);
    v("k_bias", s.k_bias);
    v("q_bias", s.q_bias);
    v("norm", s.norm);
  }
};

// Softmax attention with grouped keys and values: query head h reads key head h / (heads /
// kv_heads).
struct Attention {
  int heads = 0, kv_heads = 0, head_size = 0;
  bool causal = false;
  int window = 0;  // 0: unlimited; else a key may lie at most window - 1 positions away
  double scale = 1;
  bool q_bias = false, k_bias = false, v_bias = false, out_bias = false;
  std::optional<Norm> qk_norm;  // per head, on queries and keys, before the rotation
  bool sinks = false;           // a learned score in each head's sum, without a value
  double softcap = 0;           // scores become softcap tanh(score / softcap); 0: they stay
  std::variant<NoPosition, Rope, RelativeBuckets, TransformerXl, Disentangled> position;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("heads", s.heads);
    v("kv_heads", s.kv_heads);
    v("head_size", s.head_size);
    v("causal", s.causal);
    v("window", s.window);
    v("scale", s.scale);
    v("q_bias", s.q_bias);
    v("k_bias", s.k_bias);
    v("v_bias", s.v_bias);
    v("out_bias", s.out_bias);
    v("qk_norm", s.qk_norm);
    v("sinks", s.sinks);
    v("softcap", s.softcap);
    v("position", s.position);
  }
};

// Softmax attention whose keys and values are made, for all heads, from `kv_rank` numbers a token.
// A head compares `head_size` numbers of its own, and `position.width` rotated ones, of which the
// key's are the same for all heads. Source: DeepSeek-AI 2024 (DeepSeek-V2).
struct LatentAttention {
  int heads = 0;
  int q_rank = 0;  // queries are made from so many numbers a token; 0: straight from the stream
  int kv_rank = 0, head_size = 0, value_size = 0;
  Rope position;
  bool causal = true;
  double scale = 1;
  bool bias = false;  // on the compressing projections and on the output's
  double norm_eps = 1e-6;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("heads", s.heads);
    v("q_rank", s.q_rank);
    v("kv_rank", s.kv_rank);
    v("head_size", s.head_size);
    v("value_size", s.value_size);
    v("position", s.position);
    v("causal", s.causal);
    v("scale", s.scale);
    v("bias", s.bias);
    v("norm_eps", s.norm_eps);
  }
};

// What the time steps of a state-space layer are at first: drawn uniformly by their logarithms.
struct FirstSteps {
  double low = 0.001, high = 0.1, least = 1e-4;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("low", s.low);
    v("high", s.high);
    v("least", s.least);
  }
};

// A state-space layer whose steps, inputs and outputs the tokens choose, each channel by itself:
//   [x; z] = in u;  x = act(conv x);  [s; B; C] = project x;  dt = softplus(step s);
//   y = selective_scan(x, dt, B, C);  out(y silu(z)).
// Source: Gu, Dao 2023 (Mamba).
struct Selective {
  int inner = 0, state = 16;  // channels, and numbers that each remembers
  int taps = 4;               // of the convolution
  int step_rank = 0;
  Activation act = Activation::silu;
  bool bias = false, conv_bias = true;  // of in and out; of the convolution
  FirstSteps steps;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("inner", s.inner);
    v("state", s.state);
    v("taps", s.taps);
    v("step_rank", s.step_rank);
    v("act", s.act);
    v("bias", s.bias);
    v("conv_bias", s.conv_bias);
    v("steps", s.steps);
  }
};

// The same with one step and one decay a head, and B and C shared by the heads of a group:
//   [z; x; B; C; s] = in u;  [x; B; C] = act(conv [x; B; C]);  dt = softplus(s + bias), bounded;
//   y = selective_scan(x, dt, B, C);  out(norm(y silu(z))), the norm over groups of channels.
// Source: Dao, Gu 2024 (Mamba-2).
struct Ssd {
  int heads = 0, head_size = 0, groups = 1, state = 128;
  int taps = 4;
  Activation act = Activation::silu;
  bool bias = false, conv_bias = true;
  double least_step = 0;
  std::optional<double> most_step;
  int norm_groups = 1;
  double norm_eps = 1e-5;
  FirstSteps steps;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("heads", s.heads);
    v("head_size", s.head_size);
    v("groups", s.groups);
    v("state", s.state);
    v("taps", s.taps);
    v("act", s.act);
    v("bias", s.bias);
    v("conv_bias", s.conv_bias);
    v("least_step", s.least_step);
    v("most_step", s.most_step);
    v("norm_groups", s.norm_groups);
    v("norm_eps", s.norm_eps);
    v("steps", s.steps);
  }
};

// Weighted averages over the past with decays learned by channel, and each token mixed with the one
// before it: r, k, v = W (mix x), out(sigmoid(r) wkv(k, v)). Source: Peng et al. 2023 (RWKV-4).
struct Wkv {
  int width = 0, inner = 0;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("width", s.width);
    v("inner", s.inner);
  }
};

// RWKV-4's feed-forward, which sees the token before: sigmoid(R (mix x)) V relu(K (mix x))^2.
struct ChannelMix {
  int width = 0, inner = 0;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("width", s.width);
    v("inner", s.inner);
  }
};

// A linear state space a channel, which tokens do not choose: a long convolution in training, a
// recurrence of `state` complex numbers in decoding. Source: Gu et al. 2022.
struct S4 {
  int channels = 0, state = 64;
  bool bidirectional = false;  // a second kernel for the other direction
  bool low_rank = true;        // diagonal plus rank 1 (S4), else diagonal (S4D)
  Activation act = Activation::gelu;
  bool gated = true;  // the output projection ends in a GLU
  FirstSteps steps;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("channels", s.channels);
    v("state", s.state);
    v("bidirectional", s.bidirectional);
    v("low_rank", s.low_rank);
    v("act", s.act);
    v("gated", s.gated);
    v("steps", s.steps);
  }
};

// A state that is itself a model, trained on each chunk of tokens as they come. Source: Sun et al.
// 2024 (TTT).
struct Ttt {
  int heads = 0, head_size = 0;
  bool mlp = false;  // the inner model: a matrix, or two with a gelu between
  int chunk = 16;
  double rate = 1;
  bool convolved = false;  // queries and keys pass a short convolution
  Rope position;           // within a chunk
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("heads", s.heads);
    v("head_size", s.head_size);
    v("mlp", s.mlp);
    v("chunk", s.chunk);
    v("rate", s.rate);
    v("convolved", s.convolved);
    v("position", s.position);
  }
};

// Long short-term memory with a projected output; in both directions, each on its half of the
// stream. Sources: Hochreiter, Schmidhuber 1997; Peters et al. 2018 (ELMo).
struct Lstm {
  int cells = 0, projection = 0;
  bool bidirectional = false;
  double cell_clip = 0, projection_clip = 0;  // 0: none
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("cells", s.cells);
    v("projection", s.projection);
    v("bidirectional", s.bidirectional);
    v("cell_clip", s.cell_clip);
    v("projection_clip", s.projection_clip);
  }
};

// No feed-forward: the block is its mixer.
struct NoFfn {
  template <class Self, class V>
  static void visit_fields(Self&, V&&) {}
};

// down(act(up x))
struct Mlp {
  int inner = 0;
  Activation act = Activation::gelu;
  bool bias = true;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("inner", s.inner);
    v("act", s.act);
    v("bias", s.bias);
  }
};

// down(act(gate x) * up x)
struct Glu {
  int inner = 0;
  Activation act = Activation::silu;
  bool bias = false;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("inner", s.inner);
    v("act", s.act);
    v("bias", s.bias);
  }
};

// gate = min(gate, limit), up in [-limit, limit]: gate sigmoid(sharpness gate) (up + 1).
struct ClampedGate {
  double limit = 7, sharpness = 1.702;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("limit", s.limit);
    v("sharpness", s.sharpness);
  }
};

// A sum of the few Glu of width `inner` that a router chooses for each token, and of one of width
// `shared_inner` that every token goes through (0: there is none).
struct Experts {
  Routing routing;
  int inner = 0, shared_inner = 0;
  Activation act = Activation::silu;
  bool bias = false;                      // of the router and of every expert
  std::optional<ClampedGate> clamp = {};  // in place of act
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("routing", s.routing);
    v("inner", s.inner);
    v("shared_inner", s.shared_inner);
    v("act", s.act);
    v("bias", s.bias);
    v("clamp", s.clamp);
  }
};

using Mixer =
    std::variant<Attention, LatentAttention, Selective, Ssd, Wkv, ChannelMix, S4, Ttt, Lstm>;
using Ffn = std::variant<Mlp, Glu, Experts, NoFfn>;

// A convolution of a block's input along the tokens, in parallel to the block: y =
// norm(block(x) + act(W * x + b)). Source: DeBERTa v2.
struct Convolution {
  int taps = 3, groups = 1;
  Activation act = Activation::tanh;
  Norm norm;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("taps", s.taps);
    v("groups", s.groups);
    v("act", s.act);
    v("norm", s.norm);
  }
};

// How a branch joins the residual stream: y = branch(in(x)); x = after_add(x + out(y)).
// Pre-norm sets `in`, post-norm `after_add`, sandwich `in` and `out`.
struct Sublayer {
  std::optional<Norm> in, out, after_add;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("in", s.in);
    v("out", s.out);
    v("after_add", s.after_add);
  }
};

// A learned table added to the embedding: row = position in the sequence.
struct LearnedPositions {
  int rows = 0;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("rows", s.rows);
  }
};

struct EmbedSpec {
  int vocab = 0, width = 0;
  int inner = 0;     // width of the tables where a projection to `width` follows them; 0: none does
  double scale = 1;  // of the token rows
  double init_std = 0;  // of the tables; 0: the model's
  int padding_id = -1;  // its row takes no gradient from the input side
  std::variant<NoPosition, LearnedPositions> position;
  int types = 0;  // rows of the token-type table; 0: none
  std::optional<Norm> norm;
  // The tables are added to another model's, which take no gradient, and begin at zero.
  bool base = false;
  bool query = false;  // a vector to start the rows of tokens that are predicted unseen
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("vocab", s.vocab);
    v("width", s.width);
    v("inner", s.inner);
    v("scale", s.scale);
    v("init_std", s.init_std);
    v("padding_id", s.padding_id);
    v("position", s.position);
    v("types", s.types);
    v("norm", s.norm);
    v("base", s.base);
    v("query", s.query);
  }
};

// act(W x0 + b) on the first row of each sequence, or the last: what pooled classifiers read.
struct Pooler {
  Activation act = Activation::tanh;
  bool optional = false;  // dropped where the checkpoint has no weights for it
  bool last = false;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("act", s.act);
    v("optional", s.optional);
    v("last", s.last);
  }
};

enum class Predicts { next, same };  // the token after the row, or the one at the row

// norm(act(dense x)), which some heads begin with.
struct Transform {
  Activation act = Activation::gelu;
  Norm norm;
  int width = 0;  // of dense's output; 0: the model's
  bool bias = true;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("act", s.act);
    v("norm", s.norm);
    v("width", s.width);
    v("bias", s.bias);
  }
};

// Logits over the vocabulary: decoder(scale transform(x)).
struct LmHead {
  Predicts predicts = Predicts::next;
  std::optional<Transform> transform;
  bool bias = false;
  std::string output = "logits";
  double scale = 1;    // of what the decoder reads
  double softcap = 0;  // logits become softcap tanh(logit / softcap); 0: they stay
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("predicts", s.predicts);
    v("transform", s.transform);
    v("scale", s.scale);
    v("bias", s.bias);
    v("output", s.output);
    v("softcap", s.softcap);
  }
};

// The pooler's output, every token, a sequence's last or first one, or the mean of its tokens.
enum class Reads { pooled, tokens, last_token, first_token, mean };
// How labels are compared: as transformers' problem_type and head classes do.
enum class Problem { single_label, multi_label, regression, choice };

struct Classifier {
  Reads reads = Reads::pooled;
  int labels = 2;
  bool bias = true;
  // Absent: one label means regression, integer labels one class, float labels many (transformers).
  std::optional<Problem> problem;
  std::string name = "classifier";  // parameters are heads.<name>.{weight,bias}
  std::string output = "logits";
  std::string label = "labels";  // the input that holds the right answers
  std::optional<Transform> transform = {};
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("reads", s.reads);
    v("labels", s.labels);
    v("bias", s.bias);
    v("problem", s.problem);
    v("name", s.name);
    v("output", s.output);
    v("label", s.label);
    v("transform", s.transform);
  }
};

// Start and end logits of an answer span, one of each a token.
struct SpanHead {
  std::optional<Transform> transform = {};
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("transform", s.transform);
  }
};

// One logit a token, whether it was replaced: classifier(act(dense(norm(x0 + x)))), x0 being the
// sequence's first row. Source: He et al. 2023.
struct ReplacedHead {
  Activation act = Activation::gelu;
  Norm norm;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("act", s.act);
    v("norm", s.norm);
  }
};

using HeadSpec = std::variant<Pooler, LmHead, Classifier, SpanHead, ReplacedHead>;

}  // namespace stemma
