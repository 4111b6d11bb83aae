// Where text divides into user-perceived characters (extended grapheme clusters, Unicode annex 29)
// and into scripts. Functions are total over valid UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/segment_tables.h"

namespace stemma::unicode {

// End of the grapheme cluster that begins at `at` (< text.size()).
size_t grapheme_end(std::string_view text, size_t at);
// Whether a cluster ends between this character and others for which this holds.
bool stands_alone(char32_t c);

// Equal for characters of one script; 0 for those that no script claims.
inline uint8_t script(char32_t c) { return kScript[kScriptBlock[c / 128] * 128 + c % 128]; }

}  // namespace stemma::unicode
