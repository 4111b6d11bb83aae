#include "text/added_tokens.h"

#include <algorithm>
#include <span>

#include "base/error.h"

namespace stemma {

AddedToken parse_added_token(const Json& json) {
  AddedToken token;
  token.content = json.at("content").as_string();
  token.special = json.get("special", false);
  token.normalized = json.get("normalized", !token.special);
  token.single_word = json.get("single_word", false);
  token.lstrip = json.get("lstrip", false);
  token.rstrip = json.get("rstrip", false);
  return token;
}

Json added_token_json(const AddedToken& token, int32_t id) {
  return Json::object({{"id", id},
                       {"content", token.content},
                       {"single_word", token.single_word},
                       {"lstrip", token.lstrip},
                       {"rstrip", token.rstrip},
                       {"normalized", token.normalized},
                       {"special", token.special}});
}

int32_t TokenTrie::step(int32_t node, uint8_t byte) const {
  const auto& next = nodes_[node].next;
  const auto found =
      std::lower_bound(next.begin(), next.end(), std::pair<uint8_t, int32_t>(byte, 0));
  return found != next.end() && found->first == byte ? found->second : -1;
}

void TokenTrie::add(std::string_view pattern, int32_t id) {
  if (pattern.empty()) return;  // it would match everywhere
  starts_[static_cast<uint8_t>(pattern[0])] = true;
  int32_t node = 0;
  for (char c : pattern) {
    const auto byte = static_cast<uint8_t>(c);
    int32_t child = step(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(nodes_.size());
      nodes_.emplace_back();
      auto& next = nodes_[node].next;
      next.insert(std::upper_bound(next.begin(), next.end(), std::pair<uint8_t, int32_t>(byte, 0)),
                  {byte, child});
    }
    node = child;
  }
  if (nodes_[node].id < 0) nodes_[node].id = id;
}

bool TokenTrie::find(std::string_view text, size_t from, size_t& begin, size_t& end,
                     int32_t& id) const {
  for (; from < text.size(); ++from) {
    if (!starts_[static_cast<uint8_t>(text[from])]) continue;
    bool found = false;
    int32_t node = 0;
    for (size_t at = from; at < text.size();) {
      node = step(node, static_cast<uint8_t>(text[at++]));
      if (node < 0) break;
      if (nodes_[node].id < 0) continue;
      found = true;
      begin = from;
      end = at;
      id = nodes_[node].id;
    }
    if (found) return true;
  }
  return false;
}

void AddedTokens::add(const std::vector<AddedToken>& tokens, const Vocab& model,
                      const Normalizer* normalizer, std::string_view where) {
  int64_t next_id = std::max(model.size(), end_id_);
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    check(utf8::first_invalid(token.content) == token.content.size(), "[", where,
          "] an added token is not UTF-8");
    int32_t id = find(token.content);
    if (id < 0) id = model.find(token.content);
    if (id < 0) {
      check(next_id <= kMaxTokenId, "[", where, "] more tokens than ids up to ", kMaxTokenId);
      id = static_cast<int32_t>(next_id++);
    }
    Normalized normal(token.content, 0);
    if (token.normalized && normalizer != nullptr) normalizer->apply(normal);
    ids_[token.content] = id;
    entries_[id] = {token, std::string(normal.text())};
    end_id_ = std::max(end_id_, id + 1);
    if (token.special) special_.insert(token.content);
  }
  raw_ = normal_ = TokenTrie();
  for (const int32_t id : ids()) {
    const Entry& entry = entries_.at(id);
    if (entry.token.normalized)
      normal_.add(entry.normal, id);
    else
      raw_.add(entry.token.content, id);
  }
}

int32_t AddedTokens::find(std::string_view content) const {
  const auto found = ids_.find(std::string(content));
  return found == ids_.end() ? -1 : found->second;
}

const AddedToken* AddedTokens::token(int32_t id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second.token;
}

std::vector<int32_t> AddedTokens::ids() const {
  std::vector<int32_t> sorted;
  for (const auto& [id, entry] : entries_) sorted.push_back(id);
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

// Appends the pieces of `text`, which starts at byte `base` of the whole.
void AddedTokens::cut_text(const TokenTrie& trie, std::string_view text, uint32_t base,
                           const Accept& accept, std::vector<Piece>& pieces) const {
  const auto emit = [&](size_t begin, size_t end, int32_t id) {
    if (begin < end)
      pieces.push_back(
          {base + static_cast<uint32_t>(begin), base + static_cast<uint32_t>(end), id});
  };
  size_t done = 0, from = 0, begin, end;
  int32_t id;
  while (trie.find(text, from, begin, end, id)) {
    from = end;
    const AddedToken& token = entries_.at(id).token;
    if (accept && !accept(id, begin, end)) continue;
    if (token.single_word) {
      size_t before = begin;
      const bool joined = (begin > 0 && unicode::properties(utf8::previous(text, before)).word()) ||
                          (end < text.size() && unicode::properties(utf8::peek(text, end)).word());
      if (joined) continue;
    }
    if (token.lstrip) {
      for (size_t at = begin; begin > done; begin = at)
        if (!unicode::is_whitespace(utf8::previous(text, at))) break;
      begin = std::max(begin, done);
    }
    if (token.rstrip) {
      for (size_t at = end; at < text.size(); end = at)
        if (!unicode::is_whitespace(utf8::next(text, at))) break;
    }
    if (done < begin) emit(done, begin, -1);
    emit(begin, end, id);
    done = end;
  }
  emit(done, text.size(), -1);
}

namespace {
// `accept` for places in a segment at byte `base` of the raw text; `align` as Normalized has it.
AddedTokens::Accept shifted(const AddedTokens::Accept& accept, uint32_t base,
                            std::span<const TextSpan> align) {
  if (!accept) return nullptr;
  return [&accept, base, align](int32_t id, size_t begin, size_t end) {
    return align.empty() ? accept(id, base + begin, base + end)
                         : accept(id, align[begin].begin, align[end - 1].end);
  };
}
}  // namespace

void AddedTokens::cut(std::string_view raw, const Normalizer* normalizer, const Accept& accept,
                      PreTokens& text) const {
  std::vector<Piece> segments;
  cut_text(raw_, raw, 0, accept, segments);

  bool untouched = true;
  for (const Piece& segment : segments)
    untouched &= segment.token >= 0 || normalizer == nullptr ||
                 normalizer->leaves_alone(raw.substr(segment.begin, segment.end - segment.begin));
  if (untouched) text.text = raw;

  for (const Piece& segment : segments) {
    const auto part = raw.substr(segment.begin, segment.end - segment.begin);
    if (untouched) {
      if (segment.token >= 0)
        text.pieces.push_back(segment);
      else
        cut_text(normal_, part, segment.begin, shifted(accept, segment.begin, {}), text.pieces);
      continue;
    }
    const auto base = static_cast<uint32_t>(text.owned.size());
    Normalized normal(part, segment.begin, text.tracked);
    if (segment.token < 0) {
      normalizer->apply(normal);
      cut_text(normal_, normal.text(), base, shifted(accept, segment.begin, normal.align()),
               text.pieces);
    } else {
      text.pieces.push_back({base, base + static_cast<uint32_t>(part.size()), segment.token});
    }
    text.append(normal);
  }
  if (!untouched) text.text = text.owned;
}

}  // namespace stemma
