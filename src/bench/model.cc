// Work of whole models with random weights. Nothing of it depends on the weights' values.
#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "bench/items.h"
#include "model/checkpoint.h"
#include "model/cost.h"
#include "run/embed.h"
#include "run/generate.h"
#include "train/step.h"

namespace stemma::bench {
namespace {

// A model that several rows share, made when the first of them is prepared.
struct Subject {
  Json config;
  std::unique_ptr<Model> model;
  std::unique_ptr<Optimizer> optimizer;
};
using SubjectPtr = std::shared_ptr<Subject>;

// Uniform values with the spread of the parameter's own start, which are cheaper than normal ones.
void fill_random(Ctx& c, ParamStore& params) {
  constexpr int64_t kGrain = 1 << 16;
  for (Parameter& p : params.all()) {
    p.value = Tensor::empty(c, p.shape);
    float* to = p.value.data<float>();
    const auto reach = static_cast<float>(p.init.std * 1.7320508);
    const auto centre = static_cast<float>(p.init.value);
    c.team->run_range(p.shape.elements(), kGrain, [&](int64_t begin, int64_t end) {
      uint64_t state = static_cast<uint64_t>(p.offset + begin) * 0x9E3779B97F4A7C15u + 1;
      for (int64_t i = begin; i < end; ++i) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        to[i] = centre + reach * (static_cast<float>(state >> 40) * 0x1p-23f - 1);
      }
    });
  }
}

const Model& model_of(Ctx& c, Subject& subject) {
  if (!subject.model) {
    Checkpoint checkpoint = empty_checkpoint(subject.config);
    fill_random(c, checkpoint.model->params());
    subject.model = std::move(checkpoint.model);
  }
  return *subject.model;
}

Ints ids_of(const Model& model, int count) {
  Ints ids;
  for (int i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((int64_t{7919} * i + 1) % model.spec().embed.vocab));
  return ids;
}

Batch batch_of(const Model& model, std::span<const int> lengths) {
  Batch batch;
  for (const int length : lengths) batch.main.append(ids_of(model, length));
  return batch;
}

// Sequences of these lengths, as `embed` computes them: in pieces of about a thousand tokens, each
// a thread's own.
Job encode(Ctx& c, Subject& subject, std::span<const int> lengths) {
  constexpr int64_t kTokensPerPiece = 1024;
  const Model& model = model_of(c, subject);
  const auto pieces = std::make_shared<std::vector<Batch>>();
  Job job;
  for (size_t begin = 0, end; begin < lengths.size(); begin = end) {
    int64_t tokens = 0;
    for (end = begin; end < lengths.size() && tokens + lengths[end] <= kTokensPerPiece; ++end)
      tokens += lengths[end];
    pieces->push_back(batch_of(model, lengths.subspan(begin, end - begin)));
    job.amount += static_cast<double>(tokens);
    job.operations += forward_flops(model, pieces->back().main.start, 0);
  }
  job.call = [&c, &model, pieces] {
    c.team->run(static_cast<int64_t>(pieces->size()), [&](int64_t i) {
      Ctx own = c;
      model.forward(own, (*pieces)[static_cast<size_t>(i)]);
    });
  };
  return job;
}

// `fresh` new tokens after a prompt, one sequence. Weights come from memory once for the prompt and
// once for each token after the first.
Job generation(Ctx& c, Subject& subject, int prompt, int fresh) {
  const Model& model = model_of(c, subject);
  GenerateOptions options;
  options.max_new_tokens = fresh;
  const ProductWeights weights = product_weights(model);
  Job job;
  const int32_t start[] = {0, prompt + fresh - 1};
  job.operations = forward_flops(model, start, fresh);
  job.bytes = 4 * (weights.body + weights.head) * fresh;
  job.amount = fresh > 1 ? fresh : prompt;
  job.call = [&c, &model, ids = ids_of(model, prompt), options] {
    generate(c, model, ids, options);
  };
  return job;
}

// A step of four sequences. A masked model predicts one token in seven, a causal one every token.
Job training(Ctx& c, Subject& subject, bool causal, int length) {
  const Model& model = model_of(c, subject);
  if (!subject.optimizer) {
    subject.model->params().make_flat(c, 0, true);
    subject.optimizer =
        std::make_unique<Optimizer>(c, subject.model->params(), OptimizerSpec{.lr = 1e-4});
  }
  const std::vector<int> lengths(4, length);
  TrainPart part{batch_of(model, lengths), {}};
  for (int64_t i = 0; i < part.batch.main.tokens(); ++i)
    part.labels.push_back(causal || i % 7 == 0 ? part.batch.main.ids[static_cast<size_t>(i)]
                                               : -100);
  const auto counted = std::count_if(part.labels.begin(), part.labels.end(),
                                     [](int32_t label) { return label >= 0; });
  Job job;
  job.amount = static_cast<double>(part.batch.main.tokens());
  job.operations = 3 * forward_flops(model, part.batch.main.start, static_cast<double>(counted));
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

// 512 short sentences' lengths in tokens, [CLS] and [SEP] included, longest first: the deciles of
// STS-B under BERT's vocabulary.
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
  const bool causal = std::get<Attention>(spec.stack().blocks.at(0).mixer).causal;
  std::vector<Item> items;
  const auto add = [&](const char* work, std::string shape, int length, auto prepare) {
    Item item{.work = work,
              .shape = cat(source.name, " ", shape),
              .dtype = "f32",
              .unit = "tokens/s",
              .prepare = [subject, prepare](Ctx& c) { return prepare(c, *subject); }};
    if (length > spec.max_positions)
      item.not_run = cat("the model has ", spec.max_positions, " positions");
    Item low = item;
    low.dtype = "bf16";
    low.prepare = nullptr;
    low.not_run = "models compute in f32 so far";
    items.push_back(std::move(item));
    items.push_back(std::move(low));
  };
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
  add("encode", "32x128", 128,
      [](Ctx& c, Subject& s) { return encode(c, s, std::vector<int>(32, 128)); });
  if (!causal)
    add("encode", "512 short", short_lengths().front(),
        [](Ctx& c, Subject& s) { return encode(c, s, short_lengths()); });
  const bool predicts = spec.head<LmHead>() != nullptr;
  if (causal && predicts) {
    add("prompt", "512", 512, [](Ctx& c, Subject& s) { return generation(c, s, 512, 1); });
    add("decode", "16+32", 48, [](Ctx& c, Subject& s) { return generation(c, s, 16, 32); });
  }
  if (predicts) {
    const int length = std::min(512, spec.max_positions);
    add("train step", cat("4x", length), length,
        [causal, length](Ctx& c, Subject& s) { return training(c, s, causal, length); });
  }
  return items;
}

}  // namespace stemma::bench
