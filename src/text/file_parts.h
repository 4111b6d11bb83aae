// Components of a tokenizer.json, for those who write one.
#pragma once

#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/tokenizer_file.h"

namespace stemma::file_parts {

Json component(const char* type, std::vector<Json::Member> fields = {});
Json sequence(const char* field, Json steps);  // of "normalizers", "pretokenizers" or "decoders"
Json replace(const char* kind, std::string_view pattern, std::string_view content);
Json split(std::string_view regex);  // isolated
Json metaspace(std::string_view prepend_scheme, bool split);
Json byte_level(bool add_prefix_space, bool trim_offsets, bool use_regex);
ModelFile bpe_model(Vocab vocab, Merges merges, std::vector<Json::Member> options);
Json special_token(std::string_view content, int32_t id);
// [CLS] A [SEP], as BERT reads it, where the vocabulary has both; otherwise null.
Json cls_sep(const Vocab& vocab);

}  // namespace stemma::file_parts
