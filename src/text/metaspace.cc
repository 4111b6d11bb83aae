#include "text/metaspace.h"

#include "base/error.h"
#include "text/utf8.h"

namespace stemma {

char32_t parse_character(const Json& json, std::string_view key, std::string_view where) {
  const std::string& text = json.at(key).as_string();
  check(utf8::count(text) == 1, "[", where, "] ", key, " '", text, "' is not one character");
  return utf8::peek(text, 0);
}

Metaspace parse_metaspace(const Json& json, std::string_view where) {
  const std::string scheme = json.get("prepend_scheme", "always");
  Metaspace out{parse_character(json, "replacement", where), Metaspace::Prepend::always,
                json.get("split", true)};
  if (scheme == "first")
    out.prepend = Metaspace::Prepend::first;
  else if (scheme == "never")
    out.prepend = Metaspace::Prepend::never;
  else
    check(scheme == "always", "[", where, "] prepend_scheme ", scheme,
          " is none of always, first, never");
  check(json.get("add_prefix_space", true) || out.prepend == Metaspace::Prepend::never, "[", where,
        "] Metaspace has add_prefix_space false, but prepend_scheme ", scheme);
  return out;
}

}  // namespace stemma
