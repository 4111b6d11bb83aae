#include "text/tokenizer_file.h"

#include <limits>

#include "base/error.h"
#include "base/json_scanner.h"
#include "text/serde_number.h"

namespace stemma {

void Merges::add(std::string_view left, std::string_view right) {
  check(left.size() + right.size() <= std::numeric_limits<uint32_t>::max() - text_.size(),
        "[tokenizer] the merges have more than 4 GiB of text");
  text_ += left;
  const auto middle = static_cast<uint32_t>(text_.size());
  text_ += right;
  ends_.push_back({middle, static_cast<uint32_t>(text_.size())});
}

namespace {

std::vector<ScoredToken> read_scored(JsonScanner& in, std::string_view where) {
  std::vector<ScoredToken> tokens;
  in.array([&] {
    ScoredToken token;
    int fields = 0;
    in.array([&] {
      if (++fields == 1)
        token.text = in.string();
      else
        token.score = serde_number(in.number(), where);
    });
    if (fields != 2) in.error("token ", tokens.size(), " is no [text, score]");
    tokens.push_back(std::move(token));
  });
  return tokens;
}

// Merges are "a b" or ["a", "b"]; the second form is for tokens with a space in them.
Merges read_merges(JsonScanner& in) {
  Merges merges;
  in.array([&] {
    if (in.kind() == Json::Kind::array) {
      std::string left;
      int fields = 0;
      in.array([&] {
        const std::string_view token = in.string();
        if (++fields == 1)
          left = token;
        else if (fields == 2)
          merges.add(left, token);
      });
      if (fields != 2) in.error("merge ", merges.size(), " is not a pair");
      return;
    }
    const std::string_view text = in.string();
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos)
      in.error("merge ", merges.size(), " '", text, "' is not two tokens with a space between");
    merges.add(text.substr(0, space), text.substr(space + 1));
  });
  return merges;
}

ModelFile read_model(JsonScanner& in, std::string_view where) {
  using Kind = Json::Kind;
  ModelFile model;
  if (in.kind() != Kind::object) {
    model.fields = in.value();
    return model;
  }
  model.fields = Json::object();
  in.object([&](std::string_view key) {
    const Kind kind = in.kind();
    if (key == "vocab" && kind == Kind::object) {
      model.vocab = Vocab::read(in, where);
    } else if (key == "vocab" && kind == Kind::array) {
      model.scored = read_scored(in, where);
    } else if (key == "merges" && kind == Kind::array) {
      model.merges = read_merges(in);
    } else {
      const std::string name(key);
      model.fields.set(name, in.value());
    }
  });
  return model;
}

}  // namespace

TokenizerFile TokenizerFile::parse(std::string_view text, std::string_view where) {
  JsonScanner in(text, where);
  if (in.kind() != Json::Kind::object) in.error("a tokenizer is a JSON object");
  TokenizerFile file{Json::object(), {}};
  in.object([&](std::string_view key) {
    if (key == "model") {
      file.model = read_model(in, where);
    } else {
      const std::string name(key);
      file.parts.set(name, in.value());
    }
  });
  in.finish();
  return file;
}

Json ModelFile::json() const {
  Json all = fields;
  if (vocab) {
    std::vector<Json::Member> tokens;
    for (const auto& [token, id] : vocab->entries()) tokens.emplace_back(token, id);
    all.set("vocab", Json::object(std::move(tokens)));
  }
  if (scored) {
    Json tokens = Json::array();
    for (const auto& [token, score] : *scored)
      tokens.push_back(Json::array({token, Json::parse(serde_text(score))}));
    all.set("vocab", std::move(tokens));
  }
  if (merges) {
    Json pairs = Json::array();
    for (size_t rank = 0; rank < merges->size(); ++rank)
      pairs.push_back(Json::array({merges->left(rank), merges->right(rank)}));
    all.set("merges", std::move(pairs));
  }
  return all;
}

Json TokenizerFile::json() const {
  Json all = parts;
  all.set("model", model.json());
  return all;
}

}  // namespace stemma
