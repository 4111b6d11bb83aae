// Normalisation forms: decompose, order marks by combining class, compose (Unicode annex 15).
// The bookkeeping of changes is that of the crate unicode-normalization-alignments.
#include "text/unicode.h"

#include <algorithm>
#include <bitset>
#include <iterator>
#include <memory>

#include "text/utf8.h"

namespace stemma::unicode {
namespace {

// Hangul syllables are arithmetic (Unicode, section 3.12).
constexpr char32_t kSyllable = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kTrail = 0x11A7;
constexpr uint32_t kLeads = 19, kVowels = 21, kTrails = 28, kSyllables = kLeads * kVowels * kTrails;

uint8_t combining_class(char32_t c) { return kCombining[kCombiningBlock[c / 128] * 128 + c % 128]; }

template <class Emit>
void decompose(char32_t c, bool compatible, Emit emit) {
  if (c - kSyllable < kSyllables) {
    const uint32_t s = c - kSyllable;
    emit(kLead + s / (kVowels * kTrails));
    emit(kVowel + s / kTrails % kVowels);
    if (s % kTrails != 0) emit(kTrail + s % kTrails);
    return;
  }
  uint32_t place = compatible ? kCompatible[kCompatibleBlock[c / 128] * 128 + c % 128] : 0;
  if (place == 0) place = kCanonical[kCanonicalBlock[c / 128] * 128 + c % 128];
  if (place == 0) return emit(c);
  for (uint32_t i = 0; i < kPool[place]; ++i) emit(static_cast<char32_t>(kPool[place + 1 + i]));
}

std::vector<Edit> decomposed(std::string_view text, bool compatible) {
  std::vector<Edit> out;
  out.reserve(text.size());
  size_t marks = 0;  // where the marks behind the last starter begin
  const auto sort_marks = [&] {
    std::stable_sort(out.begin() + marks, out.end(), [](const Edit& a, const Edit& b) {
      return combining_class(a.c) < combining_class(b.c);
    });
  };
  for (size_t at = 0; at < text.size();) {
    int change = 0;
    decompose(utf8::next(text, at), compatible, [&](char32_t c) {
      const bool starter = combining_class(c) == 0;
      if (starter && out.size() - marks > 1) sort_marks();
      out.push_back({c, change});
      if (starter) marks = out.size();
      change = 1;
    });
  }
  sort_marks();
  return out;
}

char32_t compose(char32_t a, char32_t b) {  // 0: they do not compose
  if (a - kLead < kLeads && b - kVowel < kVowels)
    return kSyllable + ((a - kLead) * kVowels + (b - kVowel)) * kTrails;
  if (a - kSyllable < kSyllables && (a - kSyllable) % kTrails == 0 && b > kTrail &&
      b < kTrail + kTrails)
    return a + (b - kTrail);
  const auto* end = std::end(kCompositions);
  const auto* found =
      std::lower_bound(std::begin(kCompositions), end, std::pair(a, b),
                       [](const Composition& t, std::pair<char32_t, char32_t> key) {
                         return std::pair<char32_t, char32_t>(t.first, t.second) < key;
                       });
  return found != end && found->first == a && found->second == b ? found->composed : 0;
}

std::vector<Edit> composed(const std::vector<Edit>& parts) {
  std::vector<Edit> out, held;  // held: marks behind the starter that did not compose with it
  out.reserve(parts.size());
  Edit starter{};
  bool have_starter = false;
  int last_class = -1;  // of the last mark held, -1 when none stands between
  const auto flush = [&] {
    out.push_back(starter);
    out.insert(out.end(), held.begin(), held.end());
    held.clear();
    last_class = -1;
  };
  for (const Edit& part : parts) {
    const int part_class = combining_class(part.c);
    if (!have_starter) {
      if (part_class != 0) {
        out.push_back(part);
      } else {
        starter = part;
        have_starter = true;
      }
      continue;
    }
    const bool blocked = last_class >= part_class;
    if (const char32_t c = blocked ? 0 : compose(starter.c, part.c)) {
      starter = {c, starter.change + part.change - 1};
    } else if (part_class == 0) {
      flush();
      starter = part;
    } else {
      held.push_back(part);
      last_class = part_class;
    }
  }
  if (have_starter) flush();
  return out;
}

}  // namespace

std::vector<Edit> normalize(std::string_view text, Form form) {
  const bool compatible = form == Form::nfkd || form == Form::nfkc;
  auto parts = decomposed(text, compatible);
  return form == Form::nfc || form == Form::nfkc ? composed(parts) : parts;
}

bool keeps_nfc(char32_t c) {
  constexpr char32_t kKnown = 0x10000;
  static const auto known = [] {
    auto keeps = std::make_unique<std::bitset<kKnown>>();
    for (char32_t i = 0; i < kKnown; ++i) {
      if (properties(i).nfc_inert() || combining_class(i) != 0) {
        keeps->set(i, properties(i).nfc_inert());
        continue;
      }
      const auto parts = normalize(utf8::encode(i), Form::nfc);
      keeps->set(i, parts.size() == 1 && parts[0].c == i);
    }
    for (const Composition& t : kCompositions)
      if (t.second < kKnown) keeps->reset(t.second);
    for (char32_t i = 0; i < kVowels; ++i) keeps->reset(kVowel + i);
    for (char32_t i = 0; i < kTrails; ++i) keeps->reset(kTrail + i);
    return keeps;
  }();
  return c < kKnown ? (*known)[c] : properties(c).nfc_inert();
}

}  // namespace stemma::unicode
