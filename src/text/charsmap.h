// The character map of sentencepiece vocabularies: a double-array trie (of the library Darts-clone)
// from UTF-8 to places in a pool of NUL-terminated texts. Layout: u32 bytes of the trie, the trie's
// units (u32, little endian), the pool.
// Errors: Code::kFailed for a malformed map; a map that refers outside itself just finds nothing.
// Thread safety: a const CharsMap may be read from many threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stemma {

class CharsMap {
 public:
  CharsMap(std::string_view bytes, std::string_view where);
  static CharsMap from_base64(std::string_view text, std::string_view where);

  // What the shortest beginning of `text` that is in the map stands for.
  std::optional<std::string_view> find(std::string_view text) const;

 private:
  std::vector<uint32_t> units_;
  std::string pool_;
};

std::string base64_encode(std::string_view bytes);
std::string base64_decode(std::string_view text, std::string_view where);

}  // namespace stemma
