// A model small enough to train in a test, and rows for it.
#pragma once

#include "base/rng.h"
#include "model/checkpoint.h"
#include "train/step.h"

namespace stemma {

inline Json toy_config(std::string_view family = "llama") {
  Json config = Json::object({{"model_type", family},
                              {"vocab_size", 61},
                              {"hidden_size", 24},
                              {"num_hidden_layers", 2},
                              {"num_attention_heads", 2},
                              {"num_key_value_heads", 1},
                              {"head_dim", 12},
                              {"intermediate_size", 40},
                              {"max_position_embeddings", 64},
                              {"tie_word_embeddings", true}});
  config.set("architectures", Json::array({Json(family == "bert" ? "BertForMaskedLM"
                                                : family == "t5" ? "T5ForConditionalGeneration"
                                                                 : "LlamaForCausalLM")}));
  if (family == "bert") config.set("num_key_value_heads", 2);
  return config;
}

// A model with its memory, on a team of its own.
struct Toy {
  explicit Toy(std::string_view family = "llama", int threads = 1) : team(threads) {
    c.team = &team;
    c.pool = &pool;
    checkpoint = empty_checkpoint(toy_config(family));
    model().params().make_flat(c, 3, true);
  }
  Model& model() { return *checkpoint.model; }

  Team team;
  Pool pool;
  Ctx c;
  Checkpoint checkpoint;
};

// Rows of differing lengths, a few of whose labels are not counted; with what an encoder reads
// before them, where the family has one.
inline std::vector<TrainPart> toy_rows(int rows, uint64_t seed, std::string_view family = "llama") {
  std::vector<TrainPart> parts;
  for (int r = 0; r < rows; ++r) {
    const RngKey key = RngKey(seed).at(static_cast<uint64_t>(r));
    const auto length = static_cast<size_t>(3 + key.below(999, 20));
    Ints ids;
    for (size_t i = 0; i <= length; ++i) ids.push_back(static_cast<int32_t>(key.below(i, 61)));
    TrainPart part;
    part.batch.main.append(Ints(ids.begin(), ids.end() - 1));
    part.labels.assign(ids.begin() + 1, ids.end());
    for (size_t i = 0; i < length; ++i)
      if (key.below(100 + i, 5) == 0) part.labels[i] = -100;
    part.labels[0] = ids[1];
    if (family == "t5") part.batch.source.emplace().append(Ints(ids.rbegin(), ids.rend()));
    parts.push_back(std::move(part));
  }
  return parts;
}

// Parts [begin, end) as one.
inline TrainPart joined(std::span<const TrainPart> parts) {
  TrainPart all;
  for (const TrainPart& part : parts) {
    all.batch.main.append(part.batch.main.ids);
    if (part.batch.source) {
      if (!all.batch.source) all.batch.source.emplace();
      all.batch.source->append(part.batch.source->ids);
    }
    all.labels.insert(all.labels.end(), part.labels.begin(), part.labels.end());
  }
  return all;
}

}  // namespace stemma
