// The small tokenizers of every kind that tests/text/golden/encode.json holds.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "text/golden.h"
#include "text/tokenizer.h"

namespace stemma {

inline std::vector<int32_t> ints(const Json& json) {
  std::vector<int32_t> out;
  for (const Json& item : json.items()) out.push_back(static_cast<int32_t>(item.as_int()));
  return out;
}

inline std::vector<int32_t> flat(const std::vector<std::pair<int32_t, int32_t>>& offsets) {
  std::vector<int32_t> out;
  for (const auto& [begin, end] : offsets) out.insert(out.end(), {begin, end});
  return out;
}

struct SmallTokenizers {
  Json file = golden("encode.json");
  const Json& shared = file.at(size_t{0});
  const Json& inputs = file.at(1);

  // The tokenizer.json of an entry, with the shared vocabulary put in.
  Json tokenizer_file(const Json& entry) const {
    Json file = entry.at("file");
    Json model = file.at("model");
    if (model.at("vocab").is_string()) {
      const std::string kind = model.at("vocab").as_string();
      model.set("vocab", shared.at(kind));
      if (kind == "bpe") model.set("merges", shared.at("merges"));
    }
    file.set("model", model);
    return file;
  }

  template <class F>
  void each(F f) const {
    for (size_t i = 2; i < file.size(); ++i) {
      const Json& entry = file.at(i);
      const std::string name = entry.at("name").as_string();
      SCOPED_TRACE(name);
      f(entry, Tokenizer::from_json(tokenizer_file(entry), name));
    }
  }
};

}  // namespace stemma
