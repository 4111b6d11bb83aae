// JSON: a strict reader (RFC 8259) and a writer. Objects keep their order; numbers keep their text,
// since tokenizer scores and 64-bit offsets must not pass through a double unasked.
// Errors: stemma::Error. Malformed text (trailing commas, bad UTF-8, lone surrogates, nesting or
// size beyond the limits, duplicate keys where refused) opens with [where:line:column]; a value of
// the wrong kind says what was expected and what was found, naming the key where there is one.
// Values copy deeply: take `const Json&` of large ones.
// Thread safety: a const Json may be read from many threads.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace stemma {

struct JsonLimits {
  int depth = 256;
  size_t bytes = size_t{1} << 30;
  bool refuse_duplicate_keys = false;  // otherwise the last one wins, as in Python
  bool infinities = false;             // Infinity and -Infinity are numbers, as Python writes them
};

class Json {
 public:
  enum class Kind : uint8_t { null, boolean, number, string, array, object };
  using Member = std::pair<std::string, Json>;

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(std::integral auto value) {
    if constexpr (std::same_as<decltype(value), bool>)
      value_ = value;
    else
      value_ = Number{cat(value)};
  }
  Json(double value);  // written as Python's repr does; NaN and infinities are refused
  Json(float value);
  Json(const char* value) : Json(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : Json(std::string(value)) {}
  static Json array(std::vector<Json> items = {});
  static Json object(std::vector<Member> members = {});

  // `where` (a file name, usually) opens the messages of errors.
  static Json parse(std::string_view text, std::string_view where = "JSON",
                    const JsonLimits& limits = {});
  static Json parse_file(const std::filesystem::path& path, const JsonLimits& limits = {});

  Kind kind() const { return static_cast<Kind>(value_.index()); }
  bool is_null() const { return kind() == Kind::null; }
  bool is_bool() const { return kind() == Kind::boolean; }
  bool is_number() const { return kind() == Kind::number; }
  bool is_string() const { return kind() == Kind::string; }
  bool is_array() const { return kind() == Kind::array; }
  bool is_object() const { return kind() == Kind::object; }

  // Checked access: an Error says what was expected and what was found.
  bool as_bool() const;
  int64_t as_int() const;  // 3 and 3.0 are integers, 3.5 is an error
  double as_double() const;
  const std::string& as_string() const;
  const std::string& number_text() const;

  // Arrays and objects. at() on a missing key or index is an Error naming it; find() gives nullptr.
  size_t size() const;
  const std::vector<Json>& items() const;      // array
  const std::vector<Member>& members() const;  // object, in file order
  const Json& at(size_t index) const;
  const Json& at(std::string_view key) const;
  const Json* find(std::string_view key) const;  // hashed above 16 keys; nullptr on a non-object
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // Value of an optional key: the fallback where it is absent or null.
  bool get(std::string_view key, bool fallback) const;
  int64_t get(std::string_view key, int64_t fallback) const;
  int64_t get(std::string_view key, int fallback) const { return get(key, int64_t{fallback}); }
  double get(std::string_view key, double fallback) const;
  std::string get(std::string_view key, const char* fallback) const;

  // Building.
  void push_back(Json value);
  void set(std::string_view key, Json value);  // replaces or appends
  Json& operator[](std::string_view key);      // creates a null member where absent

  // Numbers compare by value, objects regardless of order.
  bool operator==(const Json& other) const;

  // Text; indent < 0 gives one line with ", " and ": " as Python's json.dumps does. UTF-8 is kept.
  std::string dump(int indent = -1) const;

 private:
  struct Number {
    std::string text;
  };
  struct Object {
    std::vector<Member> members;
    // Open addressing, used above 16 members: upper half of the hash, member index + 1.
    std::vector<uint64_t> slots;

    Json* find(std::string_view key);
    void append(std::string key, Json value);  // the key is not there yet
    void resize_slots(size_t capacity);
    void insert_slot(uint32_t member);
  };
  // In the order of Kind. Small strings and all common numbers live inside the value.
  std::variant<std::monostate, bool, Number, std::string, std::vector<Json>, Object> value_;

  [[noreturn]] void wrong_kind(std::string_view expected) const;
  friend class JsonReader;
};

}  // namespace stemma
