// Components of a tokenizer.json, for those who write one.
#pragma once

#include <string_view>
#include <vector>

#include "base/json.h"

namespace stemma::file_parts {

Json component(const char* type, std::vector<Json::Member> fields = {});
Json sequence(const char* field, Json steps);  // of "normalizers", "pretokenizers" or "decoders"
Json replace(const char* kind, std::string_view pattern, std::string_view content);
Json split(std::string_view regex);  // isolated
Json metaspace(std::string_view prepend_scheme, bool split);
Json byte_level(bool add_prefix_space, bool trim_offsets, bool use_regex);
Json bpe_model(Json vocab, Json merges, std::vector<Json::Member> options);
Json special_token(std::string_view content, const Json& id);

}  // namespace stemma::file_parts
