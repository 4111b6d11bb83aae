// Recipe: a training run as data: a TOML file, and key=value overrides on top of it.
// docs/training.md is its reference. Every struct lists its fields once, in visit_fields();
// reading, checking, writing and comparing are loops over them. Errors: Code::kUsage for a file
// that is not TOML, keys nobody knows (with the nearest known one), values of the wrong kind or out
// of range, naming file, line and key; Code::kNotFound. Source of the format of [optimizer] and
// [schedule]: docs/architecture.md 6 (train.json).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "data/dataset.h"
#include "nn/adapter.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace stemma {

constexpr std::array<std::pair<std::string_view, DataObjective>, 7> kObjectiveNames = {
    {{"causal", DataObjective::causal},
     {"prefix", DataObjective::prefix},
     {"masked", DataObjective::masked},
     {"span_corruption", DataObjective::span_corruption},
     {"seq2seq", DataObjective::seq2seq},
     {"permutation", DataObjective::permutation},
     {"replaced", DataObjective::replaced}}};
constexpr std::array<std::pair<std::string_view, Sentences>, 3> kSentencesNames = {
    {{"one", Sentences::one}, {"next", Sentences::next}, {"order", Sentences::order}}};
constexpr std::array<std::pair<std::string_view, Packing>, 2> kPackingNames = {
    {{"join", Packing::join}, {"documents", Packing::documents}}};

// What the forward pass leaves for the backward pass: all it made, or each block's input alone, the
// block being run again (activation checkpointing). Changes memory and time, not one bit.
enum class Rematerialise { none, block };
constexpr std::array<std::pair<std::string_view, Rematerialise>, 2> kRematerialiseNames = {
    {{"none", Rematerialise::none}, {"block", Rematerialise::block}}};

// What the matrix products compute in; the last two only below an adapter.
constexpr std::array<std::pair<std::string_view, Format>, 4> kDtypeNames = {
    {{"f32", Format::f32}, {"bf16", Format::bf16}, {"int8", Format::int8}, {"int4", Format::int4}}};

// A model to be made from scratch, by its sizes.
struct ModelSizes {
  std::string
      family;  // any of families(); empty: llama for causal, bert for masked, t5 with sources
  int width = 256, layers = 4, heads = 4;
  int kv_heads = 0;   // 0: as many as heads
  int inner = 0;      // width of the feed-forward; 0: 4 width, or 8/3 width where it is gated
  int positions = 0;  // the longest sequence; 0: the recipe's length
  bool tied = true;   // the head's matrix is the token embedding
  Json config = Json::object();  // further keys of config.json, as they are
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("family", s.family);
    v("width", s.width);
    v("layers", s.layers);
    v("heads", s.heads);
    v("kv_heads", s.kv_heads);
    v("inner", s.inner);
    v("positions", s.positions);
    v("tied", s.tied);
    v("config", s.config);
  }
};

// A checkpoint directory to go on from, a config.json to start from, or sizes.
struct ModelSource {
  std::string path;  // empty: sizes
  ModelSizes sizes;
};

// Replaced-token detection: the model that proposes, of the trained one's width.
struct GeneratorSpec {
  int layers = 0;      // 0: half of the discriminator's
  double lambda = 10;  // the weight of the discriminator's loss
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("layers", s.layers);
    v("lambda", s.lambda);
  }
};

struct ScheduleSpec {
  ScheduleKind kind = ScheduleKind::cosine;
  int64_t warmup = -1, total = -1, decay_start = -1;  // -1: see complete()
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("kind", s.kind);
    v("warmup", s.warmup);
    v("total", s.total);
    v("decay_start", s.decay_start);
  }
};

struct Recipe {
  ModelSource model;
  DataObjective objective = DataObjective::causal;
  std::vector<std::string> data;  // files, patterns, directories
  Packing packing = Packing::join;
  std::string tokenizer;  // "bytes", "bpe:SIZE", a directory; empty: the checkpoint's, or "bytes"
  int64_t length = 256;   // tokens a sequence, or a source
  int64_t target_length = 0;  // sequence to sequence only: tokens a target; 0: length
  int64_t batch = 16;         // sequences a step
  int64_t accumulation = 1;   // parts a step's batch is computed in; changes memory, not results
  Rematerialise rematerialise = Rematerialise::none;
  Format dtype = Format::f32;  // of the matrix products; weights and moments stay f32
  int64_t steps = 1000;
  uint64_t seed = 0;
  double validation = 0.05;            // share of the data that is kept for evaluation
  int64_t eval_every = 100;            // steps; 0: only at the end
  int64_t eval_sequences = 0;          // 0: the whole validation part
  double mask_rate = MaskSpec().rate;  // of tokens, where the objective chooses some
  bool mask_words = false;             // masked only: whole words
  int64_t mask_copies = 0;             // masked only: epochs after which masks come again; 0: never
  Sentences sentences = Sentences::one;  // masked only: what is asked of a sequence as a whole
  double span_length = SpanSpec().mean_length;  // span corruption only
  std::string out;
  int64_t save_every = 500;  // steps; 0: only at the end
  int64_t log_every = 10;
  int threads = 0;          // 0: one a core
  LoraSpec adapter;         // rank 0: the weights themselves are trained
  GeneratorSpec generator;  // replaced only
  OptimizerSpec optimizer;
  ScheduleSpec schedule;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("model", s.model);
    v("objective", s.objective);
    v("data", s.data);
    v("packing", s.packing);
    v("tokenizer", s.tokenizer);
    v("length", s.length);
    v("target_length", s.target_length);
    v("batch", s.batch);
    v("accumulation", s.accumulation);
    v("rematerialise", s.rematerialise);
    v("dtype", s.dtype);
    v("steps", s.steps);
    v("seed", s.seed);
    v("validation", s.validation);
    v("eval_every", s.eval_every);
    v("eval_sequences", s.eval_sequences);
    v("mask_rate", s.mask_rate);
    v("mask_words", s.mask_words);
    v("mask_copies", s.mask_copies);
    v("sentences", s.sentences);
    v("span_length", s.span_length);
    v("out", s.out);
    v("save_every", s.save_every);
    v("log_every", s.log_every);
    v("threads", s.threads);
    v("adapter", s.adapter);
    v("generator", s.generator);
    v("optimizer", s.optimizer);
    v("schedule", s.schedule);
  }

  // What a corrupted span is, and how many tokens a decoder reads of a full sequence.
  SpanSpec spans() const { return {mask_rate, span_length}; }
  int64_t target() const;
  // The share of tokens that have a label.
  double labelled() const;
  // The schedule with what was left open filled in: warmup is a tenth of the steps, at most 100;
  // total the steps; decay_start four fifths of total.
  Schedule complete_schedule() const;
};

// `overrides` are "key=value", the value as in TOML or a bare string; a dot enters a table.
Recipe read_recipe(const std::filesystem::path& path, std::span<const std::string> overrides = {});
Recipe parse_recipe(std::string_view toml, std::string_view where,
                    std::span<const std::string> overrides = {});

// Every field, as a TOML file that read_recipe() reads back as it was.
std::string recipe_text(const Recipe& recipe);

// The keys in which two recipes differ that decide what is learnt from what: a run cannot be
// resumed across such a difference. (The rest may change: steps, rates, how often to save.)
std::vector<std::string> conflicts(const Recipe& a, const Recipe& b);

}  // namespace stemma
