#include "base/json_scanner.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace stemma {
namespace {

TEST(JsonScanner, ReadsFromLeftToRight) {
  const std::string text =
      R"({"a\u0062": [1, -2.5e3, "x\ny"], "c": {"d": null, "e": true}, "f": [[], {}]} )";
  JsonScanner in(text, "f");
  std::vector<std::string> read;
  in.object([&](std::string_view key) {
    read.emplace_back(key);
    if (key == "ab") {
      in.array(
          [&] { read.emplace_back(in.kind() == Json::Kind::string ? in.string() : in.number()); });
    } else if (key == "c") {
      in.object([&](std::string_view inner) {
        if (inner == "d")
          in.null();
        else
          EXPECT_TRUE(in.boolean());
      });
    } else {
      read.push_back(in.value().dump());
    }
  });
  in.finish();
  EXPECT_EQ(read, (std::vector<std::string>{"ab", "1", "-2.5e3", "x\ny", "c", "f", "[[], {}]"}));
}

template <class Read>
std::string error_of(std::string_view text, Read read, const JsonLimits& limits = {}) {
  try {
    JsonScanner in(text, "f", limits);
    read(in);
    in.finish();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kFailed);
    return error.message();
  }
  return "no error";
}

TEST(JsonScanner, SaysWhereAnotherKindStands) {
  const auto array_of_strings = [](JsonScanner& in) { in.array([&] { in.string(); }); };
  EXPECT_EQ(error_of("[\"a\",\n 3]", array_of_strings), "[f:2:2] expected a string, found '3'");
  EXPECT_EQ(error_of("{}", array_of_strings), "[f:1:1] expected an array, found '{'");
  EXPECT_EQ(error_of("[] 1", array_of_strings), "[f:1:4] expected the end of the text, found '1'");
  EXPECT_EQ(error_of("[\"a\"", array_of_strings),
            "[f:1:5] expected ',' or ']' in an array, found the end of the text");
  const auto any = [](JsonScanner& in) { in.value(); };
  EXPECT_EQ(error_of("[[[]]]", any, {.depth = 2}), "[f:1:3] nested deeper than 2 levels");
}

}  // namespace
}  // namespace stemma
