// Reference cases: folders made by the field's own library (docs/testing.md describes the format).
// Here their padded tensors become ragged batches: padding may lie on either side, and only real
// positions are kept. Of a model with an encoder and a decoder, input_ids are the source, and the
// decoder reads decoder_input_ids or, where there are none, the labels one place later (else the
// source, likewise).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/checkpoint.h"
#include "model/safetensors.h"
#include "nn/batch.h"

namespace stemma {

// A stored tensor as numbers.
struct Numbers {
  std::vector<int64_t> shape;
  std::vector<double> values;
  bool whole = false;  // stored as integers: 1.0 as a float is a number, not a class
  int64_t elements() const { return static_cast<int64_t>(values.size()); }
  // The part [begin, end) of the first dimension.
  Numbers rows(int64_t begin, int64_t end) const;
};
Numbers read_numbers(const StoredTensor& stored);

// How a stream's tokens lie in padded tensors [B,T,...].
struct Padded {
  std::vector<int64_t> places;  // of each token of the stream: b * T + t
  int64_t sequences = 0, length = 0;
  int64_t tokens() const { return sequences * length; }
  // Whether a padded tensor of this layout stands for `ours`, of a row for each real token.
  bool holds(const Numbers& padded, const Tensor& ours) const;
};

// What stands before the labels that a decoder reads, and in place of those that are not counted.
struct TargetIds {
  int32_t start = 0, pad = 0;
};
// Nothing where the model has no decoder behind an encoder.
std::optional<TargetIds> target_ids(const Checkpoint& checkpoint);

// Padded inputs [B,T] (or [B,N,T], seen as [B*N,T]) under transformers' names.
class CaseInputs {
 public:
  explicit CaseInputs(const TensorFiles& files, std::optional<TargetIds> target = {});
  // One step of a training case, whose tensors have a leading step dimension.
  CaseInputs(const TensorFiles& files, int64_t step, std::optional<TargetIds> target = {});
  // Sequences [begin, end) alone.
  CaseInputs part(int64_t begin, int64_t end) const;

  // What the files leave to the model: memory (mems.{i}) becomes tensors, and a model that reads
  // the second half of a batch backwards is told so.
  void fit(Ctx& c, const ModelSpec& spec);

  const Batch& batch() const { return batch_; }
  int64_t sequences() const { return main_.sequences; }
  // Of the batch's main stream, of its targets [B,K], and of its source.
  const Padded& main() const { return main_; }
  const Padded& targets() const { return targets_; }
  const Padded& source() const { return source_; }
  // Of the main stream's tokens or targets: that of a padded tensor, of which `ours` are the rows.
  const Padded& layout(const Numbers& padded, const Tensor& ours) const {
    return targets_.holds(padded, ours) ? targets_ : main_;
  }

  bool has(std::string_view name) const { return find(name) != nullptr; }
  const Numbers& at(std::string_view name) const;
  // An integer input of one value a token of the main stream, or a target where there are any; at
  // real ones only.
  Ints per_token(std::string_view name) const;

 private:
  using Named = std::vector<std::pair<std::string, Numbers>>;
  CaseInputs(Named inputs, std::optional<TargetIds> target)
      : inputs_(std::move(inputs)), target_(target) {
    unpad();
  }
  const Numbers* find(std::string_view name) const;
  void unpad();
  Numbers decoder_ids() const;
  Padded append_real(Stream& stream, const Numbers& ids, const Numbers* mask, const Numbers* types,
                     const Numbers* positions) const;
  void read_order();

  Named inputs_;
  std::optional<TargetIds> target_;
  Batch batch_;
  Padded main_, source_, targets_;
};

// The model of a case, with the adapter that it may have, in f32.
Checkpoint load_case_model(Ctx& c, const std::filesystem::path& folder);

// Folders with a case.json at or below `folder`, in order of name.
std::vector<std::filesystem::path> find_cases(const std::filesystem::path& folder);

}  // namespace stemma
