#include "nn/batch.h"

namespace stemma {

void Stream::append(std::span<const int32_t> sequence, std::span<const int32_t> sequence_types,
                    int first) {
  check(sequence_types.empty() || sequence_types.size() == sequence.size(), "[batch] ",
        sequence_types.size(), " token types for ", sequence.size(), " tokens");
  if (start.empty()) start.push_back(0);
  if (!sequence_types.empty()) types.resize(ids.size());
  ids.insert(ids.end(), sequence.begin(), sequence.end());
  for (size_t i = 0; i < sequence.size(); ++i) positions.push_back(first + static_cast<int>(i));
  if (!sequence_types.empty())
    types.insert(types.end(), sequence_types.begin(), sequence_types.end());
  else if (!types.empty())
    types.resize(ids.size());
  start.push_back(static_cast<int32_t>(ids.size()));
}

}  // namespace stemma
