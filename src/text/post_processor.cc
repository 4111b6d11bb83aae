#include "text/post_processor.h"

#include <algorithm>
#include <map>
#include <optional>
#include <type_traits>

#include "base/error.h"
#include "text/vocab.h"

namespace stemma {
namespace {

int32_t parse_id(const Json& json, std::string_view where) {
  const int64_t id = json.as_int();
  check(id >= 0 && id <= kMaxTokenId, "[", where, "] post_processor id ", id, " is not in 0..",
        kMaxTokenId);
  return static_cast<int32_t>(id);
}

void append_special(Encoding& encoding, int32_t id, int32_t type) {
  encoding.ids.push_back(id);
  encoding.type_ids.push_back(type);
  encoding.offsets.emplace_back(0, 0);
  encoding.word_ids.push_back(-1);
  encoding.special.push_back(1);
}

Draft special_draft(int32_t id, int32_t type) {
  Draft draft;
  append_special(draft.encoding, id, type);
  draft.spaces.push_back({0, 0});
  return draft;
}

void set_type(Encoding& encoding, int32_t type) {
  encoding.type_ids.assign(encoding.ids.size(), type);
}

// Takes the whitespace of byte-level tokens out of their offsets.
void trim_offsets(std::vector<Draft>& drafts, bool add_prefix_space) {
  for (Draft& draft : drafts) {
    for (size_t i = 0; i < draft.spaces.size(); ++i) {
      auto [leading, trailing] = draft.spaces[i];
      auto& [begin, end] = draft.encoding.offsets[i];
      if (leading > 0) {
        // A single space before the first token is the one that was added: not in the text.
        const bool first = i == 0 || begin == 0;
        if (first && add_prefix_space && leading == 1) leading = 0;
        begin = static_cast<int32_t>(std::min<int64_t>(int64_t{begin} + leading, end));
      }
      if (trailing > 0 && static_cast<uint32_t>(end) >= trailing)
        end = std::max(end - static_cast<int32_t>(trailing), begin);
    }
  }
}

// [CLS] A [SEP], and [CLS] A [SEP] B [SEP] with B and its [SEP] of type 1.
class Bert : public PostProcessor {
 public:
  Bert(const Json& json, std::string_view where)
      : sep_(parse_id(json.at("sep").at(size_t{1}), where)),
        cls_(parse_id(json.at("cls").at(size_t{1}), where)) {}
  int added(bool pair) const override { return pair ? 3 : 2; }
  void apply(std::vector<Draft>& drafts, bool special_tokens) const override {
    if (!special_tokens) return;
    std::vector<Draft> out;
    out.push_back(special_draft(cls_, 0));
    for (size_t i = 0; i < drafts.size(); ++i) {
      out.push_back(std::move(drafts[i]));
      out.push_back(special_draft(sep_, i == 0 ? 0 : 1));
    }
    drafts = std::move(out);
  }

 private:
  int32_t sep_, cls_;
};

// <s> A </s>, and <s> A </s> </s> B </s>; all type ids are 0.
class Roberta : public PostProcessor {
 public:
  Roberta(const Json& json, std::string_view where)
      : sep_(parse_id(json.at("sep").at(size_t{1}), where)),
        cls_(parse_id(json.at("cls").at(size_t{1}), where)),
        trim_(json.at("trim_offsets").as_bool()),
        add_prefix_space_(json.at("add_prefix_space").as_bool()) {}
  int added(bool pair) const override { return pair ? 4 : 2; }
  bool trims_offsets() const override { return trim_; }
  void apply(std::vector<Draft>& drafts, bool special_tokens) const override {
    if (trim_) trim_offsets(drafts, add_prefix_space_);
    for (Draft& draft : drafts)
      if (special_tokens || !draft.cut_off) set_type(draft.encoding, 0);
    if (!special_tokens) return;
    std::vector<Draft> out;
    for (size_t i = 0; i < drafts.size(); ++i) {
      out.push_back(special_draft(i == 0 ? cls_ : sep_, 0));
      out.push_back(std::move(drafts[i]));
      out.push_back(special_draft(sep_, 0));
    }
    drafts = std::move(out);
  }

 private:
  int32_t sep_, cls_;
  bool trim_, add_prefix_space_;
};

class ByteLevel : public PostProcessor {
 public:
  explicit ByteLevel(const Json& json)
      : trim_(json.at("trim_offsets").as_bool()),
        add_prefix_space_(json.at("add_prefix_space").as_bool()) {}
  int added(bool) const override { return 0; }
  bool trims_offsets() const override { return trim_; }
  void apply(std::vector<Draft>& drafts, bool) const override {
    if (trim_) trim_offsets(drafts, add_prefix_space_);
  }

 private:
  bool trim_, add_prefix_space_;
};

// Sequences and special tokens in the order of a template, one for single texts, one for pairs.
class Template : public PostProcessor {
 public:
  Template(const Json& json, std::string_view where) {
    std::map<std::string, std::vector<int32_t>> tokens;
    for (const auto& [name, token] : json.at("special_tokens").members())
      for (const Json& id : token.at("ids").items()) tokens[name].push_back(parse_id(id, where));
    single_ = parse(json.at("single"), tokens, false, where);
    pair_ = parse(json.at("pair"), tokens, true, where);
  }
  int added(bool pair) const override {
    int n = 0;
    for (const Part& part : pair ? pair_ : single_) n += static_cast<int>(part.ids.size());
    return n;
  }
  void apply(std::vector<Draft>& drafts, bool special_tokens) const override {
    std::vector<Draft> out;
    for (const Part& part : drafts.size() == 2 ? pair_ : single_) {
      if (part.sequence) {
        Draft draft = drafts[*part.sequence];  // a template may name one twice
        if (!draft.cut_off) set_type(draft.encoding, part.type);
        out.push_back(std::move(draft));
      } else if (special_tokens) {
        for (const int32_t id : part.ids) out.push_back(special_draft(id, part.type));
      }
    }
    drafts = std::move(out);
  }

 private:
  struct Part {
    std::optional<size_t> sequence;  // otherwise the special tokens `ids`
    std::vector<int32_t> ids;
    int32_t type;
  };

  static std::vector<Part> parse(const Json& json,
                                 const std::map<std::string, std::vector<int32_t>>& tokens,
                                 bool pair, std::string_view where) {
    std::vector<Part> parts;
    for (const Json& item : json.items()) {
      const Json* sequence = item.find("Sequence");
      const Json& piece = sequence != nullptr ? *sequence : item.at("SpecialToken");
      const std::string& name = piece.at("id").as_string();
      Part part;
      part.type = parse_id(piece.at("type_id"), where);
      if (sequence != nullptr) {
        check(name == "A" || (name == "B" && pair), "[", where, "] template names sequence ", name,
              pair ? "; there are A and B" : "; a single one has only A");
        part.sequence = name == "A" ? 0 : 1;
      } else {
        const auto found = tokens.find(name);
        check(found != tokens.end(), "[", where, "] template names the special token ", name,
              ", which special_tokens does not have");
        part.ids = found->second;
      }
      parts.push_back(std::move(part));
    }
    return parts;
  }

  std::vector<Part> single_, pair_;
};

class Sequence : public PostProcessor {
 public:
  Sequence(const Json& json, std::string_view where) {
    int templates = 0;
    for (const Json& item : json.at("processors").items()) {
      steps_.push_back(parse_post_processor(item, where));
      templates += item.at("type").as_string() != "ByteLevel";
    }
    if (templates > 1)
      fail(Code::kUnsupported, "[", where, "] post_processor Sequence has ", templates,
           " parts that place special tokens; one is the most that can");
  }
  int added(bool pair) const override {
    int n = 0;
    for (const auto& step : steps_) n += step->added(pair);
    return n;
  }
  bool trims_offsets() const override {
    return std::any_of(steps_.begin(), steps_.end(),
                       [](const auto& step) { return step->trims_offsets(); });
  }
  void apply(std::vector<Draft>& drafts, bool special_tokens) const override {
    for (const auto& step : steps_) step->apply(drafts, special_tokens);
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> steps_;
};

}  // namespace

Draft slice(const Draft& draft, const Window& window) {
  const auto part = [&](const auto& list) {
    using List = std::remove_cvref_t<decltype(list)>;
    return list.empty() ? List() : List(list.begin() + window.begin, list.begin() + window.end);
  };
  const Encoding& all = draft.encoding;
  Draft out;
  out.encoding.ids = part(all.ids);
  out.encoding.type_ids = part(all.type_ids);
  out.encoding.offsets = part(all.offsets);
  out.encoding.word_ids = part(all.word_ids);
  out.encoding.special = part(all.special);
  out.spaces = part(draft.spaces);
  return out;
}

std::unique_ptr<PostProcessor> parse_post_processor(const Json& json, std::string_view where) {
  const std::string& type = json.at("type").as_string();
  if (type == "TemplateProcessing") return std::make_unique<Template>(json, where);
  if (type == "BertProcessing") return std::make_unique<Bert>(json, where);
  if (type == "RobertaProcessing") return std::make_unique<Roberta>(json, where);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(json);
  if (type == "Sequence") return std::make_unique<Sequence>(json, where);
  fail(Code::kUnsupported, "[", where, "] post_processor ", type,
       " is not built; there are TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, "
       "Sequence");
}

}  // namespace stemma
