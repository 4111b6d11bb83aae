// Work of whole models with random weights. Nothing of it depends on the weights' values.
#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "bench/items.h"
#include "model/checkpoint.h"
#include "model/cost.h"
#include "run/embed.h"
#include "run/encode.h"
#include "run/generate.h"
#include "train/step.h"

namespace stemma::bench {
namespace {

// A model that several rows share, made when the first of them is prepared. Each row computes in a
// format of its own.
struct Subject {
  Json config;
  std::unique_ptr<Model> model;
  std::unique_ptr<Optimizer> optimizer;
};
using SubjectPtr = std::shared_ptr<Subject>;

// Uniform values with the spread of the parameter's own start, which are cheaper than normal ones;
// where that is no normal one, its first number.
void fill_random(Ctx& c, ParamStore& params) {
  constexpr int64_t kGrain = 1 << 16;
  for (Parameter& p : params.all()) {
    p.value = Tensor::empty(c, p.shape);
    float* to = p.value.data<float>();
    const bool is_normal = p.init.kind == Init::Kind::normal;
    const auto reach = is_normal ? static_cast<float>(p.init.a * 1.7320508) : 0;
    const float centre = is_normal ? 0 : p.init.draw(RngKey(1), 0);
    c.team->run_range(p.shape.elements(), kGrain, [&](int64_t begin, int64_t end) {
      uint64_t state = static_cast<uint64_t>(p.offset + begin) * 0x9E3779B97F4A7C15u + 1;
      for (int64_t i = begin; i < end; ++i) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        to[i] = centre + reach * (static_cast<float>(state >> 40) * 0x1p-23f - 1);
      }
    });
  }
}

const Model& model_of(Ctx& c, Subject& subject, Format format) {
  if (!subject.model) {
    Checkpoint checkpoint = empty_checkpoint(subject.config);
    fill_random(c, checkpoint.model->params());
    subject.model = std::move(checkpoint.model);
  }
  if (subject.model->format() != format) subject.model->set_format(format);
  return *subject.model;
}

// Bytes of a weight; scales are not counted.
double weight_bytes(Format format) {
  switch (format) {
    case Format::f32:
      return 4;
    case Format::bf16:
      return 2;
    case Format::int8:
      return 1;
    case Format::int4:
      return 0.5;
  }
  return 0;
}

// Heads stay in bf16 where the rest is narrower.
double head_bytes(Format format) { return std::max(2.0, weight_bytes(format)); }

Ints ids_of(const Model& model, int count) {
  Ints ids;
  for (int i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((int64_t{7919} * i + 1) % model.spec().embed.vocab));
  return ids;
}

// A sequence's source is as long as the sequence, where it has one.
Batch batch_of(const Model& model, std::span<const int> lengths) {
  Batch batch;
  if (model.spec().reads_source()) batch.source.emplace();
  for (const int length : lengths) {
    batch.main.append(ids_of(model, length));
    if (batch.source) batch.source->append(ids_of(model, length));
  }
  return batch;
}

double flops_of(const Model& model, const Batch& batch, double answered) {
  return forward_flops(
      model, batch.main.start, answered,
      batch.source ? std::span<const int32_t>(batch.source->start) : std::span<const int32_t>());
}

// Sequences of these lengths, as `embed` computes them.
Job encoding(Ctx& c, const Model& model, const std::vector<int>& lengths) {
  Job job;
  const Batch all = batch_of(model, lengths);
  job.amount = static_cast<double>(all.main.tokens());
  job.operations = flops_of(model, all, 0);
  job.call = [&c, &model, lengths] {
    encode(c, lengths, [&](Ctx& own, std::span<const size_t> shard) {
      std::vector<int> some;
      for (size_t i : shard) some.push_back(lengths[i]);
      model.forward(own, batch_of(model, some));
    });
  };
  return job;
}

// `fresh` new tokens after each of several prompts, which run together. Weights come from memory
// once for the prompts and once for each token after the first.
Job generation(Ctx& c, const Model& model, int prompts, int prompt, int fresh) {
  GenerateOptions options;
  options.max_new_tokens = fresh;
  const ProductWeights weights = product_weights(model);
  Job job;
  const int32_t read[] = {0, prompt};
  if (model.spec().reads_source()) {
    const int32_t written[] = {0, fresh};
    job.operations = prompts * forward_flops(model, written, fresh, read);
  } else {
    const int32_t start[] = {0, prompt + fresh - 1};
    job.operations = prompts * forward_flops(model, start, fresh);
  }
  job.bytes =
      (weight_bytes(model.format()) * weights.body + head_bytes(model.format()) * weights.head) *
      fresh;
  job.amount = prompts * (fresh > 1 ? fresh : prompt);
  std::vector<Ints> ids;
  for (int i = 0; i < prompts; ++i) {
    ids.push_back(ids_of(model, prompt));
    ids.back()[0] = i;  // or the first would be computed for all
  }
  job.call = [&c, &model, ids, options] { generate(c, model, ids, options); };
  return job;
}

// The next token of a sequence of which `context` tokens are remembered. What is remembered is
// read, as the weights are.
Job next_token(Ctx& c, const Model& model, int context) {
  constexpr int kChunk = 512;
  const auto state = std::make_shared<StateStore>(state_specs(model.spec(), model.kv_dtype()));
  const Ints ids = ids_of(model, context);
  const auto go_on = [&c, &model, state](std::span<const int32_t> with) {
    Batch batch;
    batch.main.append(with, {}, state->length(0));
    batch.seqs = {0};
    return model.forward(c, batch, state.get());
  };
  for (int at = 0; at < context; at += kChunk)
    go_on(std::span(ids).subspan(static_cast<size_t>(at),
                                 static_cast<size_t>(std::min(kChunk, context - at))));
  const ProductWeights weights = product_weights(model);
  Job job;
  job.amount = 1;
  job.operations = 2 * (weights.body + weights.head);
  job.bytes = weight_bytes(model.format()) * weights.body +
              head_bytes(model.format()) * weights.head +
              static_cast<double>(state->bytes_for(context));
  job.call = [&c, &model, go_on] {
    const int32_t id = 1;
    model.head<LmHeadLayer>()->logits(c, go_on({&id, 1}));
  };
  return job;
}

// A step of four sequences. A masked model predicts one token in seven, a causal one every token.
Job training(Ctx& c, Subject& subject, bool causal, int length) {
  const Model& model = *subject.model;
  if (!subject.optimizer) {
    subject.model->params().make_flat(c, 0, true);
    subject.optimizer =
        std::make_unique<Optimizer>(c, subject.model->params(), OptimizerSpec{.lr = 1e-4});
  }
  const std::vector<int> lengths(4, length);
  TrainPart part{batch_of(model, lengths), {}, {}};
  for (int64_t i = 0; i < part.batch.main.tokens(); ++i)
    part.labels.push_back(causal || i % 7 == 0 ? part.batch.main.ids[static_cast<size_t>(i)]
                                               : -100);
  const auto counted = std::count_if(part.labels.begin(), part.labels.end(),
                                     [](int32_t label) { return label >= 0; });
  Job job;
  job.amount = static_cast<double>(part.batch.main.tokens());
  job.operations = 3 * flops_of(model, part.batch, static_cast<double>(counted));
  job.call = [&c, &subject, part] {
    train_step(c, *subject.model, std::span(&part, 1), *subject.optimizer, 1e-4);
  };
  return job;
}

// Text in, vectors out. Real tokens count, [CLS] and [SEP] included.
Job embedding(Ctx& c, const ModelSource& source) {
  const auto embedder = std::make_shared<const Embedder>(Embedder::load(c, source.directory));
  Job job;
  for (const std::string& text : source.texts) {
    const int32_t start[] = {0,
                             static_cast<int32_t>(embedder->tokenizer().encode(text).ids.size())};
    job.amount += start[1];
    job.operations += forward_flops(*embedder->checkpoint().model, start, 0);
  }
  job.call = [&c, embedder, &texts = source.texts] { embedder->embed(c, texts); };
  return job;
}

// Lengths like those of 512 short sentences, [CLS] and [SEP] included, longest first: 13 tokens on
// average. Real sentences are measured with --texts.
std::vector<int> short_lengths() {
  std::vector<int> lengths;
  for (const int length : {22, 17, 15, 14, 13, 12, 11, 10, 9, 8})
    lengths.insert(lengths.end(), 52, length);
  lengths.resize(512);
  return lengths;
}

}  // namespace

std::vector<Item> model_items(const ModelSource& source) {
  const auto subject = std::make_shared<Subject>();
  subject->config = source.config;
  const ModelSpec spec = resolve(source.config).spec;
  const bool causal = is_causal(spec.stack().blocks.at(0).mixer);
  std::vector<Item> items;
  const auto add = [&](const char* work, const std::string& shape, int length,
                       std::initializer_list<Format> formats, auto prepare) {
    for (const Format format : formats) {
      Item item{.work = work,
                .shape = cat(source.name, " ", shape),
                .dtype = format_name(format),
                .unit = "tokens/s",
                .math = format == Format::f32    ? Math::f32
                        : format == Format::bf16 ? Math::bf16
                                                 : Math::int8,
                .prepare = [subject, prepare, format](Ctx& c) {
                  model_of(c, *subject, format);
                  return prepare(c, *subject);
                }};
      if (length > spec.max_positions)
        item.not_run = cat("the model has ", spec.max_positions, " positions");
      items.push_back(std::move(item));
    }
  };
  const auto infer = {Format::f32, Format::bf16, Format::int8};
  const auto stream = {Format::f32, Format::bf16, Format::int8, Format::int4};
  const auto train = {Format::f32, Format::bf16};
  if (!source.texts.empty()) {
    items.push_back({.work = "embed",
                     .shape = cat(source.name, " ", source.texts.size(), " texts"),
                     .dtype = "f32",
                     .unit = "tokens/s",
                     .prepare = [kept = std::make_shared<const ModelSource>(source)](Ctx& c) {
                       return embedding(c, *kept);
                     }});
    if (source.directory.empty()) items.back().not_run = "there is no tokenizer, only a config";
  }
  add("encode", "32x128", 128, infer,
      [](Ctx& c, Subject& s) { return encoding(c, *s.model, std::vector<int>(32, 128)); });
  if (!causal)
    add("encode", "512 short", short_lengths().front(), infer,
        [](Ctx& c, Subject& s) { return encoding(c, *s.model, short_lengths()); });
  const bool predicts = spec.head<LmHead>() != nullptr;
  if (causal && predicts) {
    add("prompt", "512", 512, infer,
        [](Ctx& c, Subject& s) { return generation(c, *s.model, 1, 512, 1); });
    for (int prompts : {1, 4, 16})
      add("decode", prompts == 1 ? "16+32" : cat(prompts, "x(16+32)"), 48, stream,
          [prompts](Ctx& c, Subject& s) { return generation(c, *s.model, prompts, 16, 32); });
  }
  if (causal && predicts && !spec.reads_source())
    for (int context : {64, 1024, 4096})
      add("next token", cat("after ", context), context + 512, {Format::bf16},
          [context](Ctx& c, Subject& s) { return next_token(c, *s.model, context); });
  if (predicts) {
    const int length = std::min(512, spec.max_positions);
    add("train step", cat("4x", length), length, train,
        [causal, length](Ctx& c, Subject& s) { return training(c, s, causal, length); });
  }
  return items;
}

}  // namespace stemma::bench
