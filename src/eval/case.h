// Reference cases: folders made by the field's own library (docs/testing.md describes the format).
// Here their padded tensors become ragged batches: padding may lie on either side, and only real
// positions are kept.
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

// Padded inputs [B,T] (or [B,N,T], seen as [B*N,T]) under transformers' names.
class CaseInputs {
 public:
  explicit CaseInputs(const TensorFiles& files);
  // One step of a training case, whose tensors have a leading step dimension.
  CaseInputs(const TensorFiles& files, int64_t step);
  // Sequences [begin, end) alone.
  CaseInputs part(int64_t begin, int64_t end) const;

  const Batch& batch() const { return batch_; }
  int64_t sequences() const { return sequences_; }
  // For each token of the batch its place b * T + t in the padded layout.
  const std::vector<int64_t>& places() const { return places_; }
  int64_t padded_tokens() const { return sequences_ * length_; }

  bool has(std::string_view name) const { return find(name) != nullptr; }
  const Numbers& at(std::string_view name) const;
  // An integer input of one value a token, at real positions only.
  Ints per_token(std::string_view name) const;

 private:
  using Named = std::vector<std::pair<std::string, Numbers>>;
  explicit CaseInputs(Named inputs) : inputs_(std::move(inputs)) { unpad(); }
  const Numbers* find(std::string_view name) const;
  void unpad();

  Named inputs_;
  Batch batch_;
  std::vector<int64_t> places_;
  int64_t sequences_ = 0, length_ = 0;
};

// The model of a case, with the adapter that it may have.
Checkpoint load_case_model(Ctx& c, const std::filesystem::path& folder);

// Folders with a case.json at or below `folder`, in order of name.
std::vector<std::filesystem::path> find_cases(const std::filesystem::path& folder);

}  // namespace stemma
