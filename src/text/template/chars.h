// Text of a template: code points, each with a mark that says where it came from.
// A character of the caller's input (messages, tools, documents, variables) carries kInput in its
// top bit through every slice, split and join, so that a rendering knows what the template wrote
// and what a user did (chat_template.h says what that is for). Comparisons, searches and
// properties look through the mark; everything else moves characters whole.
// Case and classes follow Python's str methods.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stemma::jinja {

using Text = std::u32string;
using TextView = std::u32string_view;

inline constexpr char32_t kInput = 0x80000000;
inline constexpr char32_t plain(char32_t c) { return c & ~kInput; }

// From valid UTF-8; marks every character where `input`.
Text decode(std::string_view utf8, bool input = false);
std::string encode(TextView text);

inline bool same(char32_t a, char32_t b) { return plain(a) == plain(b); }
bool equal(TextView a, TextView b);
bool equal(TextView a, std::string_view ascii);
int compare(TextView a, TextView b);  // by code point: below, at or above 0
bool starts_with(TextView text, TextView part);
bool ends_with(TextView text, TextView part);
// Linear in both lengths; npos where absent. The empty part is found at `from`, or at the end.
size_t seek(TextView text, TextView part, size_t from = 0);
size_t seek_last(TextView text, TextView part);
uint64_t hash(TextView text);

bool is_space(char32_t c);
bool is_line_end(char32_t c);  // of str.splitlines
bool is_alphabetic(char32_t c);
bool is_decimal(char32_t c);
bool is_numeric(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);
bool is_printable(char32_t c);

Text upper(TextView text);
Text lower(TextView text);
void append_upper(Text& to, char32_t c);
void append_title(Text& to, char32_t c);

TextView strip(TextView text, bool left, bool right);                  // of white space
TextView strip(TextView text, TextView chars, bool left, bool right);  // of any of `chars`

}  // namespace stemma::jinja
