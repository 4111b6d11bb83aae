#include "base/json.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/file.h"
#include "base/rng.h"
#include "support/temp_dir.h"

namespace stemma {
namespace {

std::string error_of(std::string_view text, const JsonLimits& limits = {}) {
  try {
    Json::parse(text, "f", limits);
  } catch (const Error& e) {
    return e.message();
  }
  return "accepted";
}

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

TEST(Json, ReadsEveryKind) {
  const Json j = Json::parse(R"( {"a": [1, -2.5e3, true, false, null], "b": {"c": "d"}} )");
  EXPECT_EQ(j.at("a").size(), 5u);
  EXPECT_EQ(j.at("a").at(0).as_int(), 1);
  EXPECT_EQ(j.at("a").at(1).as_double(), -2500);
  EXPECT_TRUE(j.at("a").at(2).as_bool());
  EXPECT_FALSE(j.at("a").at(3).as_bool());
  EXPECT_TRUE(j.at("a").at(4).is_null());
  EXPECT_EQ(j.at("b").at("c").as_string(), "d");
  EXPECT_EQ(Json::parse("[]").size(), 0u);
  EXPECT_EQ(Json::parse("{}").size(), 0u);
  EXPECT_EQ(Json::parse("\"\"").as_string(), "");
  EXPECT_EQ(Json::parse("0").as_int(), 0);
}

TEST(Json, ReadsStringEscapes) {
  EXPECT_EQ(Json::parse(R"("\"\\\/\b\f\n\r\tx")").as_string(), "\"\\/\b\f\n\r\tx");
  EXPECT_EQ(Json::parse(R"("\u00e9\u20AC\ud83d\ude00\u0000")").as_string(),
            std::string("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\0", 10));
  EXPECT_EQ(Json::parse("\"\xC3\xA9 \xF0\x9F\x98\x80\"").as_string(), "\xC3\xA9 \xF0\x9F\x98\x80");
}

TEST(Json, KeepsNumbersAsText) {
  EXPECT_EQ(Json::parse("-12.3400e+05").number_text(), "-12.3400e+05");
  EXPECT_EQ(Json::parse("9007199254740993").as_int(), 9007199254740993);
  EXPECT_EQ(Json::parse("-9223372036854775808").as_int(), INT64_MIN);
  EXPECT_EQ(Json::parse("3.0").as_int(), 3);
  EXPECT_EQ(Json::parse("1e3").as_int(), 1000);
  EXPECT_EQ(message_of([] { Json::parse("3.5").as_int(); }),
            "[json] expected an integer, found a number 3.5");
  EXPECT_EQ(message_of([] { Json::parse("9223372036854775808").as_int(); }),
            "[json] the number 9223372036854775808 does not fit 64 bits");
  EXPECT_EQ(message_of([] { Json::parse("1e999").as_double(); }),
            "[json] the number 1e999 does not fit a double");
}

TEST(Json, RefusesMalformedTextWithItsPlace) {
  EXPECT_EQ(error_of(""), "[f:1:1] expected a value, found the end of the text");
  EXPECT_EQ(error_of("[1,\n 2,]"), "[f:2:4] expected a value, found ']'");
  EXPECT_EQ(error_of("{\"\xC3\xA9\": x}"), "[f:1:7] expected a value, found 'x'");
  EXPECT_EQ(error_of("[1 2]"), "[f:1:4] expected ',' or ']' in an array, found '2'");
  EXPECT_EQ(error_of("1 1"), "[f:1:3] expected the end of the text, found '1'");
  EXPECT_EQ(error_of("\"a\nb\""),
            "[f:1:3] control character byte 10 in a string; write it as an escape");
  for (const char* text : {"{",
                           "[",
                           "{\"a\"",
                           "{\"a\":",
                           "{\"a\":1",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{'a':1}",
                           "\"",
                           "\"\\",
                           "\"\\u12",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "tru",
                           "nul",
                           "NaN",
                           "Infinity",
                           "-",
                           "01",
                           "-01",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "+1",
                           "0x10",
                           "[,1]",
                           "[1,,2]",
                           "// c\n1",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\ud800x\"",
                           "\xEF\xBB\xBF{}",
                           "{\"a\" 1}",
                           "{1:2}",
                           "]",
                           "}",
                           "truex"})
    EXPECT_TRUE(error_of(text).starts_with("[f:1:") || error_of(text).starts_with("[f:2:")) << text;
}

TEST(Json, RefusesBadUtf8) {
  for (const char* bytes : {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xE2\x82",
                            "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_NE(error_of(cat("\"", bytes, "\"")).find("invalid UTF-8"), std::string::npos) << bytes;
    EXPECT_NE(error_of(cat("\"", bytes)).find("invalid UTF-8"), std::string::npos) << bytes;
  }
}

TEST(Json, KeepsTheLimits) {
  EXPECT_EQ(error_of("[[[]]]", {.depth = 3}), "accepted");
  EXPECT_EQ(error_of("[[[[]]]]", {.depth = 3}), "[f:1:4] nested deeper than 3 levels");
  EXPECT_EQ(error_of(std::string(100000, '[')), "[f:1:257] nested deeper than 256 levels");
  EXPECT_EQ(error_of("[1, 2]", {.bytes = 5}), "[f:1:1] the text has 6 bytes, the limit is 5");
  EXPECT_EQ(error_of(R"({"a": 1, "a": 2})", {.refuse_duplicate_keys = true}),
            "[f:1:16] the object that ends here has the key \"a\" twice");
}

TEST(Json, LastDuplicateWinsInFirstPlace) {
  const Json j = Json::parse(R"({"a": 1, "b": 2, "a": 3})");
  ASSERT_EQ(j.size(), 2u);
  EXPECT_EQ(j.members()[0].first, "a");
  EXPECT_EQ(j.at("a").as_int(), 3);
}

TEST(Json, FindsKeysInLargeObjectsAndKeepsTheirOrder) {
  for (const int n : {15, 16, 17, 18, 1000}) {
    Json built;
    std::string text = "{";
    for (int i = 0; i < n; ++i) {
      built.set(cat("key", i), i);
      text += cat(i ? "," : "", "\"key", i, "\":", i);
    }
    text += ",\"key3\":-3}";
    const Json read = Json::parse(text);
    built.set("key3", -3);
    EXPECT_EQ(read, built) << n;
    for (const Json* j : {&read, static_cast<const Json*>(&built)}) {
      ASSERT_EQ(j->size(), static_cast<size_t>(n));
      for (int i = 0; i < n; ++i) {
        EXPECT_EQ(j->members()[static_cast<size_t>(i)].first, cat("key", i));
        EXPECT_EQ(j->at(cat("key", i)).as_int(), i == 3 ? -3 : i);
      }
      EXPECT_FALSE(j->has("key"));
      EXPECT_FALSE(j->has(cat("key", n)));
    }
    EXPECT_NE(error_of(text, {.refuse_duplicate_keys = true}), "accepted");
  }
}

TEST(Json, SaysWhatWasExpectedAndFound) {
  const Json j = Json::parse(R"({"n": 1, "s": "text", "a": [], "o": {}})");
  EXPECT_EQ(message_of([&] { j.at("s").as_int(); }),
            "[json] expected an integer, found a string \"text\"");
  EXPECT_EQ(message_of([&] { j.at("a").as_string(); }), "[json] expected a string, found an array");
  EXPECT_EQ(message_of([&] { j.at("x"); }),
            "[json] there is no key \"x\"; the object has \"n\", \"s\", \"a\", \"o\"");
  EXPECT_EQ(message_of([&] { j.at("a").at(2); }), "[json] index 2 in an array of 0");
  EXPECT_EQ(message_of([&] { j.at("n").at("x"); }),
            "[json] expected an object with the key \"x\", found a number 1");
  EXPECT_EQ(message_of([&] { j.get("s", 3); }),
            "[json] key \"s\": expected an integer, found a string \"text\"");
  EXPECT_EQ(message_of([&] { j.at("n").size(); }), "[json] expected an array, found a number 1");
}

TEST(Json, GivesFallbacksForAbsentAndNull) {
  const Json j = Json::parse(R"({"n": null, "i": 7, "d": 0.5, "b": true, "s": "x"})");
  EXPECT_EQ(j.get("n", 3), 3);
  EXPECT_EQ(j.get("absent", int64_t{4}), 4);
  EXPECT_EQ(j.get("i", 0), 7);
  EXPECT_EQ(j.get("d", 0.0), 0.5);
  EXPECT_EQ(j.get("i", 0.0), 7.0);
  EXPECT_TRUE(j.get("b", false));
  EXPECT_EQ(j.get("s", ""), "x");
  EXPECT_EQ(j.get("n", "fallback"), "fallback");
}

TEST(Json, ComparesByValue) {
  EXPECT_EQ(Json::parse(R"({"a": 1, "b": [2.0, "x"]})"),
            Json::parse(R"({"b": [2, "x"], "a": 1e0})"));
  EXPECT_EQ(Json::parse("-0"), Json::parse("0.0"));
  EXPECT_EQ(Json::parse("-0"), Json::parse("0"));
  EXPECT_FALSE(Json::parse("9007199254740993") == Json::parse("9007199254740992"));
  EXPECT_FALSE(Json::parse(R"({"a": 1})") == Json::parse(R"({"b": 1})"));
  EXPECT_FALSE(Json::parse("[1]") == Json::parse("[1, 1]"));
  EXPECT_FALSE(Json::parse("1") == Json::parse("\"1\""));
}

TEST(Json, CopiesAreIndependent) {
  Json a = Json::parse(R"({"x": [1]})");
  Json& inner = a["x"];
  const Json b = a;
  inner.push_back(2);
  EXPECT_EQ(a.at("x").size(), 2u);
  EXPECT_EQ(b.at("x").size(), 1u);
}

TEST(Json, WritesAsPythonDoes) {
  Json j;
  j.set("a", Json::array({1, 2.5, "x", true, Json()}));
  j["b"]["c"] = "d";
  j["e"] = Json::array();
  j["f"] = Json::object();
  EXPECT_EQ(j.dump(), R"({"a": [1, 2.5, "x", true, null], "b": {"c": "d"}, "e": [], "f": {}})");
  EXPECT_EQ(j.dump(2),
            "{\n  \"a\": [\n    1,\n    2.5,\n    \"x\",\n    true,\n    null\n  ],\n"
            "  \"b\": {\n    \"c\": \"d\"\n  },\n  \"e\": [],\n  \"f\": {}\n}");
  EXPECT_EQ(Json("\"\\\b\f\n\r\t\x01\x1f\x7f\xC3\xA9").dump(),
            "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xC3\xA9\"");
}

TEST(Json, WritesNumbersAsPythonsRepr) {
  EXPECT_EQ(Json(1.0).dump(), "1.0");
  EXPECT_EQ(Json(-0.0).dump(), "-0.0");
  EXPECT_EQ(Json(0.0001).dump(), "0.0001");
  EXPECT_EQ(Json(1e-5).dump(), "1e-05");
  EXPECT_EQ(Json(1e-5f).dump(), "1e-05");
  EXPECT_EQ(Json(0.1f).dump(), "0.1");
  EXPECT_EQ(Json(1e15).dump(), "1000000000000000.0");
  EXPECT_EQ(Json(1e16).dump(), "1e+16");
  EXPECT_EQ(Json(1.5e300).dump(), "1.5e+300");
  EXPECT_EQ(Json(5e-324).dump(), "5e-324");
  EXPECT_EQ(Json(UINT64_MAX).dump(), "18446744073709551615");
  EXPECT_EQ(Json(INT64_MIN).dump(), "-9223372036854775808");
  EXPECT_EQ(message_of([] { Json(std::nan("")); }),
            "[json] NaN cannot be written as a JSON number");
  EXPECT_EQ(message_of([] { Json j(HUGE_VAL); }),
            "[json] an infinity cannot be written as a JSON number");
  const RngKey key(7);
  for (uint64_t i = 0; i < 1000; ++i) {
    const double d = std::bit_cast<double>(key.bits(i));
    if (!std::isfinite(d)) continue;
    EXPECT_EQ(Json::parse(Json(d).dump()).as_double(), d);
  }
}

TEST(Json, ReadsFilesAndNamesThem) {
  const TempDir dir;
  write_file(dir / "a.json", "{\"a\": 1}\n");
  EXPECT_EQ(Json::parse_file(dir / "a.json").at("a").as_int(), 1);
  write_file(dir / "b.json", "{\"a\": }\n");
  EXPECT_EQ(message_of([&] { Json::parse_file(dir / "b.json"); }),
            cat("[", (dir / "b.json").string(), ":1:7] expected a value, found '}'"));
}

// Whatever one byte becomes, the reader either refuses or gives a value that survives a round trip.
TEST(Json, SurvivesEveryDamagedByte) {
  const std::string good = R"({"a": [1, -2.5e3, true, null], "k\u00e9\ud83d\ude00": {"c": "d\n\)"
                           "\xC3\xA9"
                           R"("}})";
  for (size_t end = 0; end < good.size(); ++end)
    EXPECT_NE(error_of(good.substr(0, end)), "accepted");
  for (size_t i = 0; i < good.size(); ++i) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string text = good;
      text[i] = static_cast<char>(byte);
      if (error_of(text) != "accepted") continue;
      const Json j = Json::parse(text);
      EXPECT_EQ(Json::parse(j.dump()), j) << text;
    }
  }
}

TEST(Json, InfinitiesWhereTheyAreAskedFor) {
  const JsonLimits limits{.infinities = true};
  const Json json = Json::parse("[0.0, Infinity, -Infinity]", "", limits);
  EXPECT_EQ(json.at(1).as_double(), HUGE_VAL);
  EXPECT_EQ(json.at(2).as_double(), -HUGE_VAL);
  EXPECT_EQ(Json::parse(json.dump(), "", limits), json);
  EXPECT_THROW(Json::parse("Infinit", "", limits), Error);
}

}  // namespace
}  // namespace stemma
